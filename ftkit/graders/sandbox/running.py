"""Starting sandboxes, handing them answers, reading grades."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ftkit.errors import ConfigError
from ftkit.graders.base import Isolation, Pair
from ftkit.graders.grade import Grade
from ftkit.graders.limits import Limits
from ftkit.graders.sandbox.isolation import command, readable_paths, refusal, user_to_become

__all__ = ["check_isolation", "run_sandboxed"]

_START_S = 30
"""For the sandbox itself to come up."""
_WORTH_A_SANDBOX = 8
"""Answers that are worth a process of their own: one starts in about 0.1 s."""


@functools.cache
def check_isolation(isolation: Isolation) -> None:
    """Try the walls once.

    Raises:
        ConfigError: this machine cannot put them up; says why and what there is instead.
    """
    why = refusal(isolation)
    if why is None:
        code = "def grade(sample, item): return 1.0"
        (found,) = _run(code, [({}, {"output_text": ""})], Limits(seconds=_START_S), isolation, 0)
        if found.error is None:
            return
        why = str(found.detail)
    instead = (
        '; on a machine that can be spared, isolation="process" runs them with limits alone, where they can read your '
        "files and reach the network"
        if isolation == "kernel"
        else ""
    )
    raise ConfigError(f"Python graders cannot be isolated here ({isolation}): {why}{instead}")


def run_sandboxed(
    source: str, pairs: Sequence[Pair], *, limits: Limits, isolation: Isolation, workers: int
) -> list[Grade]:
    """Call ``grade(sample, item)`` of ``source`` for each pair, away from everything.

    An answer whose grading ends badly is graded 0 with the reason; all others keep their grades.

    Raises:
        ConfigError: the machine has no such isolation.
    """
    check_isolation(isolation)
    plain = [(dict(item), sample.namespace()) for item, sample in pairs]
    wanted = -(-len(plain) // _WORTH_A_SANDBOX)
    sandboxes = max(1, min(workers, os.cpu_count() or 1, wanted))
    shares = [plain[start::sandboxes] for start in range(sandboxes)]
    with ThreadPoolExecutor(sandboxes, thread_name_prefix="sandbox") as pool:
        running = [pool.submit(_run, source, share, limits, isolation, number) for number, share in enumerate(shares)]
        grades: list[Grade] = [Grade(0.0)] * len(plain)
        for start, one in enumerate(running):
            grades[start::sandboxes] = one.result()
    return grades


def _run(
    source: str,
    pairs: Sequence[tuple[dict[str, Any], dict[str, Any]]],
    limits: Limits,
    isolation: Isolation,
    number: int,
) -> list[Grade]:
    """The grades of one sandbox."""
    if not pairs:
        return []
    uid, kernel = user_to_become(isolation, number), isolation == "kernel"
    processes = limits.processes + (0 if kernel or uid is not None else _own_processes())
    job = {
        "source": source,
        "limits": {**limits.model_dump(), "processes": processes},
        "kernel": kernel,
        "uid": uid,
        "paths": readable_paths(),
    }
    lines = [job, *({"sample": sample, "item": item} for item, sample in pairs)]
    sent = "".join(f"{json.dumps(line, default=str)}\n" for line in lines).encode()
    with tempfile.TemporaryDirectory(prefix="ftkit-grader-", ignore_cleanup_errors=True) as folder:
        if uid is not None and not kernel:
            os.chown(folder, uid, uid)
        said, trouble = _talk(isolation, folder, sent, _START_S + limits.seconds * (len(pairs) + 1))
    return _grades(said, trouble, len(pairs))


def _talk(isolation: Isolation, folder: str, sent: bytes, seconds: float) -> tuple[bytes, str]:
    """What the sandbox wrote to its output, and what went wrong with it."""
    program = Path(__file__).with_name("program.py")
    inside = "/tmp" if isolation == "kernel" else folder  # noqa: S108 - the sandbox's own
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": inside,
        "TMPDIR": inside,
        "LANG": "C.UTF-8",
        # A pool of threads for each of several sandboxes would use up the processes that are allowed.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    process = subprocess.Popen(
        [*command(isolation), str(program)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=folder,
        env=environment,
        start_new_session=True,
    )
    try:
        said, complaints = process.communicate(sent, timeout=seconds)
        trouble = complaints.decode(errors="replace").strip().splitlines()[-1:] or [f"it ended: {process.returncode}"]
        return said, trouble[0]
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        said, _ = process.communicate()
        return said, f"it did not end in {seconds:g} s"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _grades(said: bytes, trouble: str, wanted: int) -> list[Grade]:
    lines = said.splitlines()
    grades = []
    for line in lines[1 : wanted + 1]:
        found = json.loads(line)
        grades.append(
            Grade(found["grade"]) if "grade" in found else Grade(0.0, error=found["error"], detail=found["detail"])
        )
    lost = Grade(0.0, error="python_grader_server_error", detail=f"the sandbox failed: {trouble}")
    return grades + [lost] * (wanted - len(grades))


def _own_processes() -> int:
    """Processes and threads of this user, which count against the limit where there is no user namespace."""
    if not sys.platform.startswith("linux"):
        return 1024
    count = 0
    for task in Path("/proc").glob("[0-9]*/task"):
        with contextlib.suppress(OSError):
            if task.stat().st_uid == os.geteuid():
                count += len(os.listdir(task))
    return count
