"""Scanning rows on a Ray cluster: what is sent, and how what is found comes back.

The job :mod:`ftkit.linting.cluster_job` scans parts of the rows, which the nodes read from the storage. The rules on
all rows together then run here. Nothing that travels is code: rules go by their codes, and findings come back as JSON
and arrays.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import secrets
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

from ftkit.backends.ray import Ray
from ftkit.backends.ray.jobs_api import RunHandle, delete_job, job_log, job_status, stop_job, submit_job
from ftkit.backends.ray.run_files import RunFiles
from ftkit.backends.ray.run_folder import run_files
from ftkit.backends.ray.shared_files import job_command, job_environment
from ftkit.backends.remote.job_description import describe_rows
from ftkit.backends.remote.messages import error_from_wire
from ftkit.catalog import catalog_overrides
from ftkit.errors import ConfigError, FtkitError, HostError, RefusedError
from ftkit.linting.context import LintContext
from ftkit.linting.registry import lint_rules
from ftkit.linting.row_view import RowRange
from ftkit.linting.rule import RowRule, Rule, VariantRule
from ftkit.linting.scan import ScanOptions, ScanResult
from ftkit.linting.scan_files import MAX_RESULT_BYTES, result_from_bytes
from ftkit.recipe import SFT, plugin_modules

__all__ = ["check_sendable", "describe_scan", "scan_on_cluster"]

_LOG = logging.getLogger("ftkit.ray")
_POLL_S, _STATUS_S, _STOP_S = 0.2, 5.0, 10.0
_LOG_CHARACTERS = 500
_PART_ROWS, _SMALLEST_PART = 100_000, 2_000
"""Rows that a process scans at once."""
_PARTS_EACH = 4
"""Parts for each process, so that all end at about the same time."""


def scan_on_cluster(
    ranges: Sequence[RowRange],
    rules: Sequence[Rule],
    context: LintContext,
    options: ScanOptions,
    backend: Ray,
    on_rows: Callable[[int], None] | None = None,
) -> list[ScanResult]:
    """Scan ranges of rows on a cluster, in as many processes as the backend has workers.

    Args:
        ranges: the rows.
        rules: the rules.
        context: what the rows are linted for.
        options: how to scan.
        backend: the cluster. Its model is not used.
        on_rows: called with a number of rows when they have been scanned.

    Returns:
        A result for each part of the rows, in order.

    Raises:
        ConfigError: the tokenizer of a local model cannot be found there.
        RefusedError: a rule, a class of answers or a format of rows is defined in a module of this machine.
        HostError: the cluster or the storage cannot be used, or the job has ended.
        FtkitError: what was raised there.
    """
    cluster = backend.cluster.with_storage()
    check_sendable(ranges, rules, context)
    name = f"lint-{secrets.token_hex(8)}"
    handle = RunHandle(url=cluster.url(), storage=str(cluster.storage), key=name)
    folder = run_files(handle.storage, name)
    folder.check()
    parts = _parts(ranges, cluster.workers)
    try:
        with tempfile.TemporaryDirectory(prefix="ftkit-lint-") as here:
            described = describe_scan(ranges, rules, context, options, folder.keep, Path(here))
        folder.write_job({**described, "parts": parts, "cluster": asdict(cluster)})
        command = job_command("ftkit.linting.cluster_job", handle.storage, name)
        submit_job(name, handle, command, job_environment(handle.storage))
        return _collect(folder, name, handle, [stop - start for _, start, stop, _ in parts], on_rows)
    finally:
        _clean(folder, name, handle)


def check_sendable(ranges: Sequence[RowRange], rules: Sequence[Rule], context: LintContext) -> None:
    """Refuse what the nodes of a cluster do not have.

    Args:
        ranges: the rows.
        rules: the rules.
        context: what the rows are linted for.

    Raises:
        ConfigError: a local model is a folder that is named by where this process runs.
        RefusedError: names the fields.
    """
    own = {
        rule.code
        for name, registered in lint_rules.items()
        if lint_rules.origin(name) == "script"
        for rule in registered
        if isinstance(rule, RowRule | VariantRule)
    } & {rule.code for rule in rules}
    if own:
        _refuse(
            f"the rule {', '.join(sorted(own))} is declared in a script, which the nodes do not have; make it a "
            "package with an entry point (docs/extending.md) and install that there, or leave it out (ignore=)",
            "select",
        )
    datasets = [each.data for each in ranges]
    classes = [data.task.answer_type for data in datasets if data.task.answer_type is not None]
    if classes:
        _refuse(
            f"the answers are checked by the Python class {classes[0].__name__}, which the nodes do not have; write "
            "the output of the task as its JSON Schema",
            "task",
        )
    modules = plugin_modules(context.recipe or SFT(), *datasets)
    if modules:
        _refuse(
            f"the nodes do not have the module {modules[0]['name']}; make it a package (docs/extending.md)", "recipe"
        )
    for model in context.local_models:
        if not Path(model).is_absolute() and Path(model).is_dir():
            raise ConfigError(f"backends: {model!r} is a folder here; write the absolute path that the nodes see, too")


def _refuse(why: str, field: str) -> NoReturn:
    raise RefusedError(
        f"{why}; or lint on this machine: workers=8", backend="ray", fields=tuple(dict.fromkeys(("workers", field)))
    )


def describe_scan(
    ranges: Sequence[RowRange],
    rules: Sequence[Rule],
    context: LintContext,
    options: ScanOptions,
    send: Callable[[Path, str], None],
    folder: Path,
) -> dict[str, Any]:
    """Send what a scan reads, and describe it.

    Args:
        ranges: the rows.
        rules: the rules.
        context: what the rows are linted for.
        options: how to scan.
        send: keeps a file by its SHA-256.
        folder: an empty folder for files on their way.

    Returns:
        Plain JSON values.
    """
    setting = {
        "rules": [rule.code for rule in rules if isinstance(rule, RowRule | VariantRule)],
        "rows": dict(context.rows),
        "backends": context.backends,
        "catalog_names": context.catalog_names,
        "catalog": catalog_overrides(),
        "recipe": None if context.recipe is None else context.recipe.model_dump(mode="json"),
        "gradients": context.gradients,
        "test_inputs": {
            start: [[number, text, sorted(media)] for number, text, media in inputs]
            for start, inputs in context.test_inputs.items()
        },
        "options": {**asdict(options), "ignore_rows": {row: list(codes) for row, codes in options.ignore_rows.items()}},
    }
    written = json.dumps(setting).encode()
    digest = hashlib.sha256(written).hexdigest()
    (folder / digest).write_bytes(written)
    send(folder / digest, digest)
    opened: dict[int, dict[str, Any]] = {}
    for each in ranges:
        if id(each.data) not in opened:
            opened[id(each.data)] = describe_rows(each.data, send)
    return {"setting": digest, "rows": {each.split: opened[id(each.data)] for each in ranges}}


def _parts(ranges: Iterable[RowRange], workers: int) -> list[tuple[str, int, int, int]]:
    """Split, first row, the row after the last one, and the number of the first row among all, of each part."""
    ranges = list(ranges)
    total = sum(rows.stop - rows.start for rows in ranges)
    size = min(_PART_ROWS, max(_SMALLEST_PART, -(-total // (workers * _PARTS_EACH))))
    return [
        (rows.split, start, min(start + size, rows.stop), rows.first + start - rows.start)
        for rows in ranges
        for start in range(rows.start, rows.stop, size)
    ]


def _collect(
    folder: RunFiles, name: str, handle: RunHandle, sizes: Sequence[int], on_rows: Callable[[int], None] | None
) -> list[ScanResult]:
    """Read each result as soon as it is there."""
    found: dict[int, ScanResult] = {}
    start, asked = 0, time.monotonic()
    while len(found) < len(sizes):
        ended = folder.ended()  # before the events, so that those of its end are among them
        for read, event in folder.events(start):
            start = read
            number = event["data"].get("part")
            if event["kind"] == "warning":
                _LOG.warning("%s: %s", handle.url, event["data"]["message"])
            elif type(number) is int and 0 <= number < len(sizes) and number not in found:
                content = folder.read_result(f"{number}.npz", MAX_RESULT_BYTES)
                found[number] = result_from_bytes(content, sizes[number])
                if on_rows is not None:
                    on_rows(sizes[number])
        if ended is not None and len(found) < len(sizes):
            raise _error(ended, handle)
        if time.monotonic() - asked > _STATUS_S:
            asked = time.monotonic()
            status = job_status(name, handle)
            if status.state == "ended" and folder.ended() is None:
                said = f"{status.message}. Its log ends with: {_log_end(name, handle)}"
                raise HostError(f"the job that lints at {handle.url} has ended: {said}", passing=True)
        time.sleep(_POLL_S)
    return [found[number] for number in range(len(sizes))]


def _log_end(name: str, handle: RunHandle) -> str:
    try:
        return " ".join(job_log(name, handle).split())[-_LOG_CHARACTERS:]
    except FtkitError as error:
        return str(error)


def _error(ended: dict[str, Any], handle: RunHandle) -> FtkitError:
    said = ended.get("error")
    if isinstance(said, dict):
        return error_from_wire(said, handle.url, "ray")
    return HostError(f"the job that lints at {handle.url} has ended: {said or ended.get('state')}", passing=True)


def _clean(folder: RunFiles, name: str, handle: RunHandle) -> None:
    """Stop the job if it is still there, and remove what is on the storage."""
    with contextlib.suppress(FtkitError):
        stop_job(name, handle)
        deadline = time.monotonic() + _STOP_S
        while job_status(name, handle).state in ("pending", "running") and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        delete_job(name, handle)
    with contextlib.suppress(FtkitError, OSError):
        folder.delete()
