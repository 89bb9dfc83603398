"""The job that lints rows on a cluster: ``python -m ftkit.linting.cluster_job STORAGE NAME``. Ray starts it.

Each worker is an actor of Ray, and scans one part of the rows after the other. One that is lost is started again, and
its part with it. Workers that find no place on the cluster are not waited for.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ftkit.backends.ray.cluster import Cluster, missing_resources
from ftkit.backends.ray.driver import connect
from ftkit.backends.ray.run_files import RunFiles
from ftkit.backends.ray.run_folder import run_files
from ftkit.backends.remote.job_description import open_rows
from ftkit.backends.remote.messages import error_to_wire
from ftkit.catalog import write_catalog_overrides
from ftkit.data import Dataset
from ftkit.errors import FtkitError
from ftkit.extras import require
from ftkit.linting.context import LintContext
from ftkit.linting.registry import find_rule
from ftkit.linting.row_view import RowRange
from ftkit.linting.rule import Rule
from ftkit.linting.scan import ScanOptions, scan
from ftkit.linting.scan_files import result_to_bytes
from ftkit.recipe import parse_recipe

__all__ = ["OpenedScan", "Scanner", "WorkerError", "main", "open_scan", "scan_all", "scan_part"]

_TRIES = 3
"""How often a part is scanned whose worker is lost."""


@dataclass(frozen=True, slots=True)
class OpenedScan:
    """A scan, opened where its rows are read.

    Attributes:
        rows: the rows by split.
        rules: the rules on single rows and on variants.
        context: what the rows are linted for.
        options: how to scan.
    """

    rows: dict[str, Dataset]
    rules: list[Rule]
    context: LintContext
    options: ScanOptions


def open_scan(described: dict[str, Any], received: Path, home: Path) -> OpenedScan:
    """Open what :func:`~ftkit.linting.cluster_scan.describe_scan` described.

    Args:
        described: the description.
        received: the folder of the files that were sent, each named by its SHA-256.
        home: an empty folder, which becomes this process's ftkit home: with the user's rows of the catalogue.

    Returns:
        The scan.

    Raises:
        FtkitError: the rows are gone, or no package here has a rule.
    """
    os.environ["FTKIT_HOME"] = str(home)
    setting = json.loads((received / described["setting"]).read_bytes())
    write_catalog_overrides(setting["catalog"], home)
    rows = {split: opened for split, spec in described["rows"].items() if (opened := open_rows(spec, received))}
    train = next(iter(rows.values()))
    context = LintContext(
        task=train.task,
        kind=train.kind,
        format=train.format,
        options=train.options,
        rows=setting["rows"],
        backends=tuple(setting["backends"]),
        catalog_names={name: (provider, model) for name, (provider, model) in setting["catalog_names"].items()},
        recipe=None if setting["recipe"] is None else parse_recipe(setting["recipe"]),
        gradients=setting["gradients"],
        test_inputs={
            start: [(number, text, frozenset(media)) for number, text, media in inputs]
            for start, inputs in setting["test_inputs"].items()
        },
    )
    return OpenedScan(rows, [find_rule(code) for code in setting["rules"]], context, ScanOptions(**setting["options"]))


def scan_part(opened: OpenedScan, part: list[Any]) -> bytes:
    """Scan a part of the rows.

    Args:
        opened: the scan.
        part: split, first row, the row after the last one, and the number of the first row among all.

    Returns:
        The result, as :func:`~ftkit.linting.scan_files.result_to_bytes` writes it.
    """
    split, start, stop, first = part
    rows = RowRange(opened.rows[split], split, start, stop, first)
    return result_to_bytes(scan(rows, opened.rules, opened.context, opened.options))


class Scanner:
    """A worker, in a process of its own.

    Args:
        storage: the shared folder, or the address of an object store.
        name: name of the job.
    """

    def __init__(self, storage: str, name: str) -> None:
        self._files = run_files(storage, name)
        self._held = contextlib.ExitStack()
        self._opened: OpenedScan | None = None

    def is_ready(self) -> bool:
        """Say that the process has started.

        Returns:
            True.
        """
        return True

    def scan(self, number: int) -> dict[str, Any] | None:
        """Scan a part of the rows, and put what is found on the storage.

        Args:
            number: number of the part.

        Returns:
            None; or an error for the other side.
        """
        try:
            described = self._files.job()
            if self._opened is None:
                place = self._held.enter_context(self._files.workspace(first=False))
                home = self._held.enter_context(tempfile.TemporaryDirectory(prefix="ftkit-lint-"))
                self._opened = open_scan(described, place.received, Path(home))
            self._files.write_result(f"{number}.npz", scan_part(self._opened, described["parts"][number]))
        except Exception as error:  # of a rule, perhaps: it would come again
            traceback.print_exc()
            return error_to_wire(error)
        return None

    def close(self) -> None:
        """Remove what was fetched to this node."""
        self._held.close()


def scan_all(folder: RunFiles, parts: int, scanners: list[Any], ray: Any, lost: type[Exception]) -> None:
    """Have the workers scan all parts.

    Args:
        folder: the files of the job; each part that is done is an event there.
        parts: how many parts there are.
        scanners: handles of actors.
        ray: the module.
        lost: what Ray raises when an actor is lost.

    Raises:
        WorkerError: a worker failed.
        FtkitError: a worker was lost too often.
    """
    waiting = list(range(parts))[::-1]
    tries = dict.fromkeys(range(parts), 0)
    running: dict[Any, tuple[Any, int | None]] = {scanner.is_ready.remote(): (scanner, None) for scanner in scanners}
    while waiting or any(number is not None for _, number in running.values()):
        [done], _ = ray.wait(list(running), num_returns=1)
        scanner, number = running.pop(done)
        try:
            said = ray.get(done)
        except lost as error:
            traceback.print_exc()
            if number is not None:
                tries[number] += 1
                if tries[number] >= _TRIES:
                    raise FtkitError(
                        f"a worker was lost {_TRIES} times: {' '.join(str(error).split())[:2000]}"
                    ) from None
                waiting.append(number)
            running[scanner.is_ready.remote()] = scanner, None
            continue
        if number is not None:
            if said is not None:
                raise WorkerError(said)
            folder.append("part", {"part": number})
        if waiting:
            number = waiting.pop()
            running[scanner.scan.remote(number)] = scanner, number


class WorkerError(FtkitError):
    """An error of a worker, in the form in which the other side reads it.

    Args:
        said: what :func:`~ftkit.backends.remote.messages.error_to_wire` returned.

    Attributes:
        said: the same.
    """

    def __init__(self, said: dict[str, Any]) -> None:
        super().__init__(said["message"])
        self.said = said


def main(storage: str, name: str) -> int:
    """Scan the rows of a job.

    Args:
        storage: the shared folder, or the address of an object store.
        name: name of the job.

    Returns:
        The exit status.
    """
    refusals = require("ray.exceptions", extra="ray", needed_for="linting on a Ray cluster")
    ray = connect()
    folder = run_files(storage, name)
    described = folder.job()
    wanted, parts = Cluster(**described["cluster"]), len(described["parts"])
    count = min(wanted.workers, parts)
    each = {"CPU": float(wanted.cpus_per_worker)}
    missing = missing_resources(count, each, ray.cluster_resources())
    if missing is not None:
        folder.append("warning", {"message": f"{count} workers need {missing}; those that find a place lint the rows"})
    actor = ray.remote(Scanner).options(num_cpus=each["CPU"], num_gpus=0, max_restarts=-1)
    scanners = [actor.remote(storage, name) for _ in range(count)]
    try:
        scan_all(folder, parts, scanners, ray, refusals.RayError)
    except WorkerError as error:
        folder.finish(state="failed", error=error.said)
        return 1
    except Exception as error:  # whatever Ray raises: the other side must learn why
        traceback.print_exc()
        folder.finish(state="failed", error=f"{type(error).__name__}: {' '.join(str(error).split())[:2000]}")
        return 1
    folder.finish(state="succeeded")
    ray.wait([scanner.close.remote() for scanner in scanners], num_returns=count, timeout=10)
    return 0


if __name__ == "__main__":
    from ftkit.linting.cluster_job import main as main_of_module  # so that workers import Scanner by its name

    sys.exit(main_of_module(*sys.argv[1:3]))
