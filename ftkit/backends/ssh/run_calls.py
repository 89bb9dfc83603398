"""Calls about runs, on the other machine. Each may be made twice and then does nothing more."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ftkit.backends.local import LocalBackend
from ftkit.backends.remote.messages import Tell
from ftkit.backends.ssh.received import received_job
from ftkit.errors import RunError, RunNotFoundError
from ftkit.files import create_folder, write_atomically
from ftkit.store import OPEN_STATES, RunRecord, Store
from ftkit.store.run_lock import starting
from ftkit.training.sample_log import SAMPLES

__all__ = ["LIVE_FILES", "cancel", "check", "delete", "estimate", "manifest", "poll", "resume", "submit"]

LIVE_FILES = ("log.txt", SAMPLES)
"""Files of a run that are copied while they grow."""
_KEY_FILE = "sent-by.json"
_SUBMIT_LOCK = "submit.lock"
_PAGE_EVENTS = 1000
_PAGE_BYTES = 256 * 1024


def check(model: str, job: dict[str, Any], tell: Tell) -> None:
    """Refuse what this machine cannot train; see :meth:`ftkit.backends.Backend.check`.

    Args:
        model: the model's name here.
        job: the recipe and the rows.
        tell: not used.
    """
    wanted = received_job(job, "")
    LocalBackend(model).check(wanted.recipe, wanted.data, wanted.validation)


def estimate(
    model: str, job: dict[str, Any], device: str | None, tell: Tell, workers: int = 1, strategy: str = "ddp"
) -> dict[str, Any]:
    """Estimate a run on this machine; see :meth:`ftkit.backends.Backend.estimate`.

    Args:
        model: the model's name here.
        job: the recipe and the rows.
        device: a GPU to plan for instead of this machine's.
        tell: not used.
        workers: how many processes train together.
        strategy: how they hold the model.

    Returns:
        The estimate's fields.
    """
    wanted = received_job(job, "")
    backend = LocalBackend(model, workers=workers, strategy=strategy)
    found = backend.estimate(wanted.recipe, wanted.data, wanted.validation, device=device)
    return found.model_dump(mode="json")


def submit(
    run_id: str, key: str, model: str, job: dict[str, Any], workers: int, tell: Tell, strategy: str = "ddp"
) -> None:
    """Start a run, unless it was started already.

    Args:
        run_id: id of the run.
        key: tells it from a run of the same id that another machine sent.
        model: the model's name here.
        job: the recipe and the rows.
        workers: how many processes train together.
        tell: not used.
        strategy: how they hold the model.

    Raises:
        RunError: another machine has sent a run of this id.
    """
    store = Store()
    folder = store.run_folder(run_id)
    create_folder(folder)
    with FileLock(folder / _SUBMIT_LOCK):
        known = _find(store, run_id)
        if known is not None:
            _check_key(store, run_id, key)
            if known.state in OPEN_STATES or (folder / "job.json").is_file():
                return
            store.delete(run_id)  # cut off before anything was started
        wanted = received_job(job, run_id)
        backend = LocalBackend(model, workers=workers, strategy=strategy)
        backend.check(wanted.recipe, wanted.data, wanted.validation)
        write_atomically(folder / _KEY_FILE, json.dumps({"key": key}))
        record = RunRecord(
            id=run_id,
            backend="local",
            model=model,
            created_at=time.time(),
            recipe=wanted.recipe.model_dump(mode="json"),
            task=wanted.data.task.model_dump(mode="json"),
            rows=len(wanted.data),
            data_fingerprint=wanted.data.fingerprint,
        )
        with starting(folder):
            store.create(record)
            backend.submit(wanted, store)


def _find(store: Store, run_id: str) -> RunRecord | None:
    try:
        record = store.get(run_id)
    except RunNotFoundError:
        return None
    return record if record.id == run_id else None


def _check_key(store: Store, run_id: str, key: str) -> None:
    try:
        known = json.loads((store.run_folder(run_id) / _KEY_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    if known.get("key") != key:
        raise RunError(f"another run {run_id} is there, which was not sent by this one; choose another run_id")


def _require(store: Store, run_id: str, key: str) -> RunRecord:
    record = _find(store, run_id)
    if record is None:
        raise RunNotFoundError(f"there is no run {run_id}")
    _check_key(store, run_id, key)
    return record


def poll(run_id: str, key: str, after: int, sizes: dict[str, int], tell: Tell) -> dict[str, Any] | None:
    """Return what has happened in a run.

    Args:
        run_id: id of the run.
        key: its key.
        after: the ``seq`` of the last event that the other side has.
        sizes: by name of :data:`LIVE_FILES`, the bytes of it that the other side has.
        tell: not used.

    Returns:
        The record's state, the next events, the next bytes of the files, and whether there is ``more``; None if there
        is no such run.
    """
    store = Store()
    record = _find(store, run_id)
    if record is None:
        if not _being_submitted(store.run_folder(run_id)):
            return None
        return {
            "state": "queued",
            "error": None,
            "summary": {},
            "finished_at": None,
            "events": [],
            "files": {},
            "more": False,
        }
    _check_key(store, run_id, key)
    LocalBackend(record.model).refresh(record, store)
    record = store.get(run_id)  # before the events, so that those of its end are among them
    events = store.events(run_id, after)
    files = {}
    for name in LIVE_FILES:
        files[name] = _piece(store.run_folder(run_id) / name, sizes.get(name, 0))
    return {
        "state": record.state,
        "error": record.error,
        "summary": record.summary,
        "finished_at": record.finished_at,
        "events": [[event.seq, event.at, event.kind, event.data] for event in events[:_PAGE_EVENTS]],
        "files": files,
        "more": len(events) > _PAGE_EVENTS or any(len(each[1]) >= _PAGE_BYTES for each in files.values()),
    }


def _being_submitted(folder: Path) -> bool:
    """Whether a call of ``submit`` is at work on a run, perhaps of a session that was cut."""
    if not folder.is_dir():
        return False
    try:
        with FileLock(folder / _SUBMIT_LOCK, timeout=0):
            return False
    except Timeout:
        return True


def _piece(file: Path, start: int) -> tuple[int, str]:
    """The next piece of a growing file, and where it begins: at 0 if the file is shorter than it was."""
    try:
        with file.open("rb") as content:
            start = start if start <= content.seek(0, os.SEEK_END) else 0
            content.seek(start)
            return start, base64.b64encode(content.read(_PAGE_BYTES)).decode()
    except OSError:
        return 0, ""


def resume(run_id: str, key: str, tell: Tell) -> bool:
    """Continue a run that has ended without a model.

    Args:
        run_id: id of the run.
        key: its key.
        tell: not used.

    Returns:
        False if nothing of it was started here, so that it must be sent again.
    """
    store = Store()
    if _find(store, run_id) is None or not (store.run_folder(run_id) / "job.json").is_file():
        return False
    record = _require(store, run_id, key)
    backend = LocalBackend(record.model)
    backend.refresh(record, store)
    record = store.get(run_id)
    if record.state in ("failed", "cancelled"):
        backend.resume(record, store)
    return True


def cancel(run_id: str, key: str, tell: Tell) -> None:
    """Cancel a run. One that is not here, or has ended, is left unchanged.

    Args:
        run_id: id of the run.
        key: its key.
        tell: not used.
    """
    store = Store()
    if _find(store, run_id) is not None:
        record = _require(store, run_id, key)
        LocalBackend(record.model).cancel(record, store)


def delete(run_id: str, key: str, tell: Tell) -> None:
    """Delete a run that has ended, and its files.

    Args:
        run_id: id of the run.
        key: its key.
        tell: not used.

    Raises:
        RunError: it has not ended.
    """
    store = Store()
    if _find(store, run_id) is None:
        return
    record = _require(store, run_id, key)
    if record.state in OPEN_STATES:
        raise RunError(f"run {run_id} is {record.state}; cancel it first")
    shutil.rmtree(store.run_folder(run_id), ignore_errors=True)
    store.delete(run_id)


def manifest(run_id: str, key: str, tell: Tell) -> dict[str, Any]:
    """List the files of a run's model.

    Args:
        run_id: id of the run.
        key: its key.
        tell: not used.

    Returns:
        The folder, and for each file its name, size and SHA-256.

    Raises:
        RunError: the model is gone.
    """
    store = Store()
    _require(store, run_id, key)
    folder = store.run_folder(run_id) / "model"
    if not folder.is_dir():
        raise RunError(f"the model of run {run_id} is gone from {folder}")
    return {"folder": str(folder), "files": list(_digests(folder))}


def _digests(folder: Path) -> Iterator[dict[str, Any]]:
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            with file.open("rb") as content:
                digest = hashlib.file_digest(content, "sha256").hexdigest()
            yield {"name": file.relative_to(folder).as_posix(), "size": file.stat().st_size, "sha256": digest}
