"""Starting sandboxes, handing them answers, reading grades."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ftkit.errors import ConfigError
from ftkit.graders.base import Isolation, Pair
from ftkit.graders.grade import Grade
from ftkit.graders.limits import Limits
from ftkit.graders.sandbox.isolation import Walls, command, readable_paths, refusal, user_to_become

__all__ = ["check_isolation", "run_sandboxed"]

_START_S = 30
"""For the sandbox itself to come up."""
_END_S = 6
"""For it to end what it started."""
_WORTH_A_SANDBOX = 8
"""Answers that are worth a process of their own: one starts in about 0.1 s."""


_WALLS: dict[Isolation, tuple[Walls, ...]] = {"kernel": ("namespaces", "landlock"), "process": ("limits",)}
"""Tried in this order."""


@functools.cache
def check_isolation(isolation: Isolation) -> Walls:
    """The best walls that this machine can put up; they are tried once.

    Raises:
        ConfigError: it can put up none; says why and what there is instead.
    """
    reasons = []
    for walls in _WALLS[isolation]:
        why = refusal(walls) or _trial(walls)
        if why is None:
            return walls
        reasons.append(f"{walls}: {why}")
    instead = (
        '; on a machine that can be spared, isolation="process" runs them with limits alone, where they can read your '
        "files and reach the network"
        if isolation == "kernel"
        else ""
    )
    raise ConfigError(f"Python graders cannot be isolated here ({'; '.join(reasons)}){instead}")


def _trial(walls: Walls) -> str | None:
    """Why a trial failed; None when it did not."""
    code = "def grade(sample, item): return 1.0"
    (found,) = _run(code, [({}, {"output_text": ""})], Limits(seconds=_START_S), walls, 0, [])
    return found.detail


def run_sandboxed(
    source: str, pairs: Sequence[Pair], *, limits: Limits, isolation: Isolation, workers: int
) -> list[Grade]:
    """Call ``grade(sample, item)`` of ``source`` for each pair, away from everything.

    An answer whose grading ends badly is graded 0 with the reason; all others keep their grades.

    Raises:
        ConfigError: the machine has no such isolation.
    """
    walls = check_isolation(isolation)
    plain = [(dict(item), sample.namespace()) for item, sample in pairs]
    wanted = -(-len(plain) // _WORTH_A_SANDBOX)
    sandboxes = max(1, min(workers, os.cpu_count() or 1, wanted))
    shares = [plain[start::sandboxes] for start in range(sandboxes)]
    processes: list[subprocess.Popen[bytes]] = []
    with ThreadPoolExecutor(sandboxes, thread_name_prefix="sandbox") as pool:
        running = [
            pool.submit(_run, source, share, limits, walls, number, processes) for number, share in enumerate(shares)
        ]
        grades: list[Grade] = [Grade(0.0)] * len(plain)
        try:
            for start, one in enumerate(running):
                grades[start::sandboxes] = one.result()
        except BaseException:  # Ctrl-C must not wait for foreign code
            for process in processes:
                _kill(process)
            raise
    return grades


def _run(
    source: str,
    pairs: Sequence[tuple[dict[str, Any], dict[str, Any]]],
    limits: Limits,
    walls: Walls,
    number: int,
    processes: list[subprocess.Popen[bytes]],
) -> list[Grade]:
    """The grades of one sandbox, whose process is added to ``processes``."""
    if not pairs:
        return []
    uid, apart = user_to_become(number), walls == "namespaces"
    allowed = limits.processes + (0 if apart or uid is not None else _own_processes())
    job = {
        "source": source,
        "limits": {**limits.model_dump(), "processes": allowed},
        "walls": walls,
        "uid": uid,
        "paths": readable_paths(),
    }
    lines = [job, *({"sample": sample, "item": item} for item, sample in pairs)]
    sent = "".join(f"{json.dumps(line, default=str)}\n" for line in lines).encode()
    with tempfile.TemporaryDirectory(prefix="ftkit-grader-", ignore_cleanup_errors=True) as folder:
        if uid is not None and not apart:
            os.chown(folder, uid, uid)
        said, trouble = _talk(walls, folder, sent, _START_S + limits.seconds * (len(pairs) + 1), processes)
    return _grades(said, trouble, len(pairs))


def _talk(
    walls: Walls, folder: str, sent: bytes, seconds: float, processes: list[subprocess.Popen[bytes]]
) -> tuple[bytes, str]:
    """What the sandbox wrote to its output, and what went wrong with it."""
    program = Path(__file__).with_name("program.py")
    inside = "/tmp" if walls == "namespaces" else folder  # noqa: S108 - the sandbox's own
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
        [*command(walls), str(program)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=folder,
        env=environment,
        start_new_session=True,
    )
    processes.append(process)
    try:
        said, complaints = process.communicate(sent, timeout=seconds)
        trouble = complaints.decode(errors="replace").strip().splitlines()[-1:] or [f"it ended: {process.returncode}"]
        return said, trouble[0]
    except subprocess.TimeoutExpired:
        _kill(process)
        said, _ = process.communicate()
        return said, f"it did not end in {seconds:g} s"
    finally:
        _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a sandbox: its first process ends all others, or its namespace does; neither is waited for long."""
    if process.poll() is not None:
        return
    with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(_END_S)
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
    count = 0
    for task in Path("/proc").glob("[0-9]*/task"):
        with contextlib.suppress(OSError):
            if task.stat().st_uid == os.geteuid():
                count += len(os.listdir(task))
    return count
