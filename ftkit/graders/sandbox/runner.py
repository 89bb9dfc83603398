"""Start sandboxes, send them answers, and read their grades."""

from __future__ import annotations

import contextlib
import functools
import json
import os
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
from ftkit.graders.sandbox.cgroup import MemoryGroup
from ftkit.graders.sandbox.isolation import Tier, command, readable_paths, sandbox_uid, unavailable_reason
from ftkit.graders.sandbox.processes import SandboxProcesses, end_sandbox, stopped_on_error
from ftkit.graders.sandbox.usage import UsageWatch, family

__all__ = ["check_isolation", "run_sandboxed"]

_START_S = 30
"""Seconds that a sandbox may take to start."""
_OWN_BYTES = 64 * 2**20
"""Memory of a sandbox that its code does not use."""
_ANSWERS_PER_SANDBOX = 8
"""Answers for which another sandbox is started; starting one takes about 0.1 s."""


_TIERS: dict[Isolation, tuple[Tier, ...]] = {"kernel": ("namespaces", "landlock"), "process": ("limits",)}
"""The tiers of each kind of isolation, tried in this order."""


@functools.cache
def check_isolation(isolation: Isolation) -> Tier:
    """Find the strongest tier that works on this machine. Each tier is tried once per process.

    Args:
        isolation: the kind of isolation.

    Returns:
        The tier.

    Raises:
        ConfigError: no tier works; the message gives the reasons and the alternative.
    """
    reasons = []
    for tier in _TIERS[isolation]:
        why = unavailable_reason(tier) or _trial(tier)
        if why is None:
            return tier
        reasons.append(f"{tier}: {why}")
    instead = (
        '; on a disposable machine, isolation="process" runs them with limits only, so that they can read and '
        "write your files"
        if isolation == "kernel"
        else ""
    )
    raise ConfigError(f"Python graders cannot be isolated here ({'; '.join(reasons)}){instead}")


def _trial(tier: Tier) -> str | None:
    """Grade one answer in the tier; return why that failed, or None."""
    code = "def grade(sample, item): return 1.0"
    (found,) = _run(code, [({}, {"output_text": ""})], Limits(seconds=_START_S), tier, 0, SandboxProcesses())
    return found.detail


def run_sandboxed(
    source: str, pairs: Sequence[Pair], *, limits: Limits, isolation: Isolation, workers: int
) -> list[Grade]:
    """Call ``grade(sample, item)`` of untrusted source code for each answer, in sandboxes.

    An answer whose grading fails gets 0 with the reason; the others keep their grades.

    Args:
        source: the source code.
        pairs: rows' columns, each with an answer.
        limits: resource limits of each sandbox.
        isolation: how the sandboxes are isolated.
        workers: number of sandboxes at the same time.

    Returns:
        The grade of each answer, in order.

    Raises:
        ConfigError: this machine does not offer the isolation.
    """
    tier = check_isolation(isolation)
    plain = [(dict(item), sample.namespace()) for item, sample in pairs]
    wanted = -(-len(plain) // _ANSWERS_PER_SANDBOX)
    sandboxes = max(1, min(workers, os.cpu_count() or 1, wanted))
    shares = [plain[start::sandboxes] for start in range(sandboxes)]
    grades: list[Grade] = [Grade(0.0)] * len(plain)
    # The inner block ends first: after Ctrl-C the pool waits for threads whose sandboxes are stopped.
    with ThreadPoolExecutor(sandboxes, thread_name_prefix="sandbox") as pool, stopped_on_error() as processes:
        running = [
            pool.submit(_run, source, share, limits, tier, number, processes) for number, share in enumerate(shares)
        ]
        for start, one in enumerate(running):
            grades[start::sandboxes] = one.result()
    return grades


def _run(
    source: str,
    pairs: Sequence[tuple[dict[str, Any], dict[str, Any]]],
    limits: Limits,
    tier: Tier,
    number: int,
    processes: SandboxProcesses,
) -> list[Grade]:
    """Grade in one sandbox, whose process is added to ``processes``."""
    if not pairs or processes.stopped:
        return []
    uid, isolated = sandbox_uid(number), tier == "namespaces"
    allowed = limits.processes + (0 if isolated or uid is not None else _own_processes())
    job = {
        "source": source,
        "limits": {**limits.model_dump(), "processes": allowed},
        "tier": tier,
        "uid": uid,
        "paths": readable_paths(),
    }
    lines = [{"sample": sample, "item": item} for item, sample in pairs]
    seconds = _START_S + limits.seconds * (len(pairs) + 1)
    with tempfile.TemporaryDirectory(prefix="ftkit-grader-", ignore_cleanup_errors=True) as folder:
        if uid is not None and not isolated:
            os.chown(folder, uid, uid)
        output, failure = _communicate(job, lines, limits, folder, seconds, processes)
    return _grades(output, failure, len(pairs))


def _communicate(
    job: dict[str, Any],
    lines: list[dict[str, Any]],
    limits: Limits,
    folder: str,
    seconds: float,
    processes: SandboxProcesses,
) -> tuple[bytes, str]:
    """Run a sandbox; return its output and, if it failed, the reason."""
    tier: Tier = job["tier"]
    heard, alarm = os.pipe()
    os.set_blocking(heard, False)
    sent = "".join(f"{json.dumps(line, default=str)}\n" for line in [{**job, "alarm": heard}, *lines]).encode()
    program = Path(__file__).with_name("program.py")
    inside = "/tmp" if tier == "namespaces" else folder  # noqa: S108 - the sandbox's own
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": inside,
        "TMPDIR": inside,
        "LANG": "C.UTF-8",
        # Thread pools would use up the number of processes that is allowed.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    try:
        process = subprocess.Popen(
            [*command(tier), str(program)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder,
            env=environment,
            start_new_session=True,
            pass_fds=[heard],
        )
    except BaseException:
        os.close(alarm)
        raise
    finally:
        os.close(heard)
    processes.add(process)
    # The folder of a namespace has a file system of limited size.
    watched = None if tier == "namespaces" else Path(folder)
    watch = UsageWatch(process.pid, watched, limits.memory_bytes, limits.disk_bytes, alarm)
    group = MemoryGroup.create(limits.memory_bytes + (limits.disk_bytes if watched is None else 0) + _OWN_BYTES)
    group.add(family(process.pid))
    group.add(family(process.pid))  # again, for a child that was made meanwhile; the code runs once it has its input
    try:
        with watch:
            output, errors = process.communicate(sent, timeout=seconds)
        failure = errors.decode(errors="replace").strip().splitlines()[-1:] or [f"it ended: {process.returncode}"]
        return output, failure[0]
    except subprocess.TimeoutExpired:
        end_sandbox(process)
        output, _ = process.communicate()
        return output, f"it did not end in {seconds:g} s"
    finally:
        end_sandbox(process)
        os.close(alarm)
        group.remove()


def _grades(output: bytes, failure: str, count: int) -> list[Grade]:
    lines = output.splitlines()
    grades = []
    for line in lines[1 : count + 1]:
        found = json.loads(line)
        grades.append(
            Grade(found["grade"])
            if "grade" in found
            else Grade(0.0, error=found["error"], detail=_whole(found["detail"]))
        )
    lost = Grade(0.0, error="python_grader_server_error", detail=f"the sandbox failed: {failure}")
    return grades + [lost] * (count - len(grades))


def _whole(text: str) -> str:
    """What code said, with escapes in place of halves of characters, which no file can hold."""
    return text.encode("utf-8", "backslashreplace").decode()


def _own_processes() -> int:
    """Count the processes and threads of this user, which count against the limit outside a user namespace."""
    count = 0
    for task in Path("/proc").glob("[0-9]*/task"):
        with contextlib.suppress(OSError):
            if task.stat().st_uid == os.geteuid():
                count += len(os.listdir(task))
    return count
