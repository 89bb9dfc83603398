"""Scanning rows in several processes, of this machine or of a cluster."""

from __future__ import annotations

import functools
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import IO, Any, Literal, cast

from ftkit.backends import backend_of
from ftkit.backends.ray import Ray
from ftkit.error_text import Argument, ErrorText
from ftkit.errors import ConfigError, FtkitError
from ftkit.linting.cluster_scan import scan_on_cluster
from ftkit.linting.context import LintContext
from ftkit.linting.row_view import RowRange
from ftkit.linting.rule import Rule
from ftkit.linting.scan import ScanOptions, ScanResult, scan

__all__ = ["Workers", "as_workers", "scan_all"]

Workers = int | Literal["auto"] | Ray

_MIN_ROWS = 20_000
"""Rows per process from which starting it saves time."""


def as_workers(given: object) -> Workers:
    """Return what scans the rows.

    Args:
        given: what a user wrote.

    Returns:
        A number of processes, ``"auto"``, or a cluster.

    Raises:
        ConfigError: it is no number above 0, not ``"auto"`` and no cluster.
    """
    if given == "auto":
        return "auto"
    if isinstance(given, int) and not isinstance(given, bool) and given > 0:
        return given
    cluster = backend_of(given) if isinstance(given, str) and given.startswith("ray:") else given
    if isinstance(cluster, Ray):
        return cluster
    said = f"{given!r}" if isinstance(given, int | float | str) else type(given).__name__
    named = Argument("workers", text="workers")
    raise ConfigError(ErrorText(named, f' is a number of processes of this machine, "auto" or ft.Ray(…), not {said}'))


def scan_all(
    ranges: Sequence[RowRange],
    rules: Sequence[Rule],
    context: LintContext,
    options: ScanOptions,
    *,
    workers: Workers,
    on_rows: Callable[[int], None] | None = None,
) -> list[ScanResult]:
    """Scan ranges of rows, in several processes where that saves time.

    One process is used if the job cannot be sent to another: a rule or an output class that is defined in the script
    itself, which other processes cannot import.

    Args:
        ranges: the rows.
        rules: the rules.
        context: what the rows are linted for.
        options: how to scan.
        workers: processes; ``"auto"`` is one a core if there are enough rows. Or a cluster, in whose processes the
            rows are scanned.
        on_rows: called with a number of rows when they have been scanned.

    Returns:
        A result for each range, or for parts of it, in order.

    Raises:
        FtkitError: a process failed.
    """
    total = sum(rows.stop - rows.start for rows in ranges)
    if isinstance(workers, Ray):
        if total:
            return scan_on_cluster(ranges, rules, context, options, workers, on_rows)
        workers = 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    count = max(1, min(cores, 16, total // _MIN_ROWS) if workers == "auto" else workers)
    if count > 1:
        parts = [
            part for rows in ranges for part in _split(rows, max(1, round(count * (rows.stop - rows.start) / total)))
        ]
        jobs = [_pickled((part, rules, context, options)) for part in parts]
        sendable = [job for job in jobs if job is not None]
        if len(sendable) == len(jobs):
            with ThreadPoolExecutor(count) as pool:
                results = []
                for part, result in zip(parts, pool.map(_run, sendable), strict=True):
                    results.append(result)
                    if on_rows is not None:
                        on_rows(part.stop - part.start)
                return results
    on_row = None if on_rows is None else functools.partial(on_rows, 1)
    return [scan(rows, rules, context, options, on_row) for rows in ranges]


def _split(rows: RowRange, parts: int) -> list[RowRange]:
    size = rows.stop - rows.start
    edges = [rows.start + size * number // parts for number in range(parts + 1)]
    return [
        RowRange(rows.data, rows.split, start, stop, rows.first + start - rows.start) for start, stop in pairwise(edges)
    ]


def _pickled(job: Any) -> bytes | None:
    """The job as bytes; None if another process could not read it."""
    try:
        pickled = pickle.dumps(job, protocol=5)
    except (pickle.PicklingError, AttributeError, TypeError):
        return None
    return None if b"__main__" in pickled else pickled


def _run(job: bytes) -> ScanResult:
    """Run a job in a process of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "ftkit.linting.scan_worker"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        stdin, stdout = cast(IO[bytes], process.stdin), cast(IO[bytes], process.stdout)
        try:
            with stdin:
                stdin.write(pickle.dumps(sys.path, protocol=5))
                stdin.write(job)
            result: ScanResult | FtkitError = pickle.load(stdout)  # noqa: S301  the process is ours
        except (EOFError, BrokenPipeError, pickle.UnpicklingError):
            raise FtkitError(f"a process of the linter ended early (exit status {process.wait()})") from None
    if isinstance(result, FtkitError):
        raise result
    return result
