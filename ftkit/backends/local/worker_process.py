"""The worker process of a run: start it, find it, and say how it ended."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from ftkit.errors import StorageError
from ftkit.extras import require
from ftkit.files import disk_is_full
from ftkit.modeling.model_source import RECORD
from ftkit.named_files import irregular_file_kind
from ftkit.store import RunRecord, Store
from ftkit.store.run_lock import STARTING, WORKER, RunLock, is_locked

__all__ = ["death_message", "finished_summary", "is_alive", "process_of", "start_worker"]

_TAIL_BYTES = 64 * 1024
_EVENT = re.compile(r"\d\d:\d\d:\d\d [a-z]+ \{")


def start_worker(run_id: str, store: Store, lock: RunLock) -> None:
    """Start the worker of a run and pass it the run's lock.

    Args:
        run_id: id of the run.
        store: where the run is recorded.
        lock: the run's lock, which this process gives up.
    """
    inherited = () if lock.handle is None else (lock.handle,)
    try:
        with (store.run_folder(run_id) / "log.txt").open("ab") as log:
            worker = subprocess.Popen(
                [sys.executable, "-m", "ftkit.backends.local.worker", run_id, *map(str, inherited)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "FTKIT_HOME": str(store.folder), "PYTHONUNBUFFERED": "1"},
                pass_fds=inherited,
                start_new_session=True,  # a Ctrl-C in the caller's terminal is not for the worker
            )
    finally:
        lock.close()
    # The worker notes its own id, too, in case this process is killed here.
    with contextlib.suppress(StorageError), store.transaction(run_id) as run:
        run.update(handle=run.record.handle | {"pid": worker.pid})
    # Waiting for it in a thread keeps it from staying a zombie while the caller lives.
    threading.Thread(target=worker.wait, name=f"ftkit-{run_id}", daemon=True).start()


def is_alive(record: RunRecord, store: Store) -> bool:
    """Say whether a process works on a run, or is about to.

    Args:
        record: the run.
        store: where it is recorded.

    Returns:
        Whether its worker lives, or a process is starting it.
    """
    folder = store.run_folder(record.id)
    # In this order: the process that starts the run holds one lock until a worker has the other.
    for name in (STARTING, WORKER):
        held = is_locked(folder, name)
        if held is None:  # a file system without locks: a run without a process id may just be starting
            return "pid" not in record.handle or process_of(record) is not None
        if held:
            return True
    # Workers of version 0.1 held no lock.
    return "started" in record.handle and process_of(record) is not None


def process_of(record: RunRecord) -> Any:
    """Find the worker process of a run.

    Args:
        record: the run.

    Returns:
        A ``psutil.Process``; None if it has ended, or runs on another machine or in another container.
    """
    psutil = require("psutil", extra="local", needed_for="looking after runs on this machine")
    try:
        process = psutil.Process(record.handle["pid"])
        # The command line tells this process from another one that has the same id.
        return process if record.id in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE else None
    except (psutil.Error, KeyError, TypeError, ValueError):
        return None


def finished_summary(record: RunRecord, store: Store) -> dict[str, Any] | None:
    """Read the summary of a run whose worker saved the model and ended before it could say so.

    Args:
        record: the run.
        store: where it is recorded.

    Returns:
        The summary; None if there is no complete model.
    """
    try:
        made = json.loads((store.run_folder(record.id) / "model" / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    found = made.get("summary") if isinstance(made, dict) and made.get("run_id") == record.id else None
    return found if isinstance(found, dict) else None


def death_message(record: RunRecord, store: Store) -> str:
    """Describe a worker that died: its last step, how to resume, and the last lines of its log.

    Args:
        record: the run.
        store: where it is recorded.

    Returns:
        One sentence or more.
    """
    folder = store.run_folder(record.id)
    log = folder / "log.txt"
    if "pid" not in record.handle and not (log.is_file() and log.stat().st_size):
        return "the process that started the run ended before training began, and nothing was trained; " + (
            f"`ftkit runs resume {record.id}` starts it" if (folder / "job.json").is_file() else "start it again"
        )
    step = checkpoint = None
    for event in store.events(record.id):
        if event.kind == "step":
            steps = event.data.get("steps")
            step = f"step {event.data.get('step')}" + (f" of {steps}" if steps else "")
        checkpoint = event.data.get("step") if event.kind == "checkpoint" else checkpoint
    again = "starts again" if checkpoint is None else f"continues from the checkpoint at step {checkpoint}"
    where = f"after {step}" if step else "before the first step"
    cause = "it was killed, or the machine ran out of memory or was switched off"
    if disk_is_full(store.folder):
        cause, again = f"the disk is full ({store.folder})", f"{again} when there is room"
    process = f" (pid {record.handle['pid']})" if "pid" in record.handle else ""
    return (
        f"the worker process{process} ended without a message {where}: {cause}. "
        f"`ftkit runs resume {record.id}` {again}. Its log is {log}{_tail(log)}"
    )


def _tail(log: Path, lines: int = 5) -> str:
    """The last lines of a log that are no events, which the store has, to be put at the end of a message."""
    try:
        if irregular_file_kind(log) is not None:
            return ""
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
            text = file.read(_TAIL_BYTES).decode("utf-8", "replace").strip().splitlines()
    except OSError:
        return ""
    said = [line.strip() for line in text if line.strip() and not _EVENT.match(line)][-lines:]
    return "; it ends: " + " | ".join(said) if said else " (empty)" if not text else ""
