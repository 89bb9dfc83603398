"""Sweeping in several processes."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import IO, Any, Literal, cast

from ftkit.errors import FtkitError
from ftkit.linting.context import Setting
from ftkit.linting.rule import Rule
from ftkit.linting.scan import Stretch, Swept, sweep

__all__ = ["Workers", "sweep_all"]

Workers = int | Literal["auto"]

_WORTHWHILE = 20_000
"""Rows a process must have for its start to pay."""


def sweep_all(
    stretches: Sequence[Stretch],
    rules: Sequence[Rule],
    setting: Setting,
    *,
    keep: int,
    sketches: bool,
    workers: Workers,
) -> list[Swept]:
    """What :func:`sweep` gives for each stretch, or for pieces of it, in order.

    Several processes are used where there are rows enough, and where what they need can be sent: not a rule or an
    output class that stands in the script itself, which other processes cannot import.
    """
    rows = sum(one.stop - one.start for one in stretches)
    count = max(1, min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, 16))
    count = max(1, min(count, rows // _WORTHWHILE)) if workers == "auto" else max(1, workers)
    if count > 1:
        pieces = [
            piece for one in stretches for piece in _cut(one, max(1, round(count * (one.stop - one.start) / rows)))
        ]
        options = {"keep": keep, "sketches": sketches}
        jobs = [_packed(((piece, rules, setting), options)) for piece in pieces]
        ready = [job for job in jobs if job is not None]
        if len(ready) == len(jobs):
            with ThreadPoolExecutor(count) as pool:
                return list(pool.map(_ask, ready))
    return [sweep(one, rules, setting, keep=keep, sketches=sketches) for one in stretches]


def _cut(stretch: Stretch, pieces: int) -> list[Stretch]:
    size = stretch.stop - stretch.start
    edges = [stretch.start + size * at // pieces for at in range(pieces + 1)]
    return [
        Stretch(stretch.data, stretch.split, start, stop, stretch.first + start - stretch.start)
        for start, stop in pairwise(edges)
    ]


def _packed(job: Any) -> bytes | None:
    """The job as bytes; None when another process could not read it."""
    try:
        packed = pickle.dumps(job, protocol=5)
    except (pickle.PicklingError, AttributeError, TypeError):
        return None
    return None if b"__main__" in packed else packed


def _ask(job: bytes) -> Swept:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "ftkit.linting.scan_worker"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        to, back = cast(IO[bytes], process.stdin), cast(IO[bytes], process.stdout)
        try:
            with to:
                to.write(pickle.dumps(sys.path, protocol=5))
                to.write(job)
            result: Swept | FtkitError = pickle.load(back)  # noqa: S301  the process is ours
        except (EOFError, BrokenPipeError, pickle.UnpicklingError):
            raise FtkitError(f"a process of the linter ended early (exit status {process.wait()})") from None
    if isinstance(result, FtkitError):
        raise result
    return result
