"""The process that trains: ``python -m ftkit.backends.local.worker RUN_ID``. Started by the local backend."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from typing import Any

from ftkit.backends.grading import setting_of
from ftkit.backends.local.device_queue import wait_for_device
from ftkit.backends.local.event_log import EventLog, keep_trying, tolerate_full_disk
from ftkit.backends.local.fellow_workers import fellow_workers
from ftkit.backends.local.saved_job import read_job_file, saved_job
from ftkit.backends.local.worker_process import finished_summary
from ftkit.errors import FtkitError, RunError
from ftkit.files import disk_is_full, remove_unfinished, says_disk_full
from ftkit.store import OPEN_STATES, Store
from ftkit.store.run_lock import RunLock
from ftkit.training.progress import TrainingStopped

__all__ = ["main"]


_PATIENCE_S = 60.0
"""How long a worker waits for room on a full disk to record that it begins or how it ended."""


def main(run_id: str, lock: RunLock | None = None) -> int:
    """Train a run, and record its result in the store.

    Args:
        run_id: the run.
        lock: the run's lock, from the process that started this one; by default it is taken here.

    Returns:
        The exit status: 0 unless the run failed.
    """
    asked_to_stop: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: asked_to_stop.append(number))
    store = Store()
    lock = lock or RunLock.acquire(store.run_folder(run_id))
    if lock is None:
        print(f"another process trains run {run_id}", file=sys.stderr)  # noqa: T201
        return 1
    events = EventLog(store, run_id)
    place: RunLock | None = None
    try:
        place = _wait_in_queue(run_id, store, asked_to_stop)
        if place is None:
            return 0  # cancelled while it waited
        if not keep_trying(lambda: _begin(store, run_id), _PATIENCE_S):
            return 0  # cancelled before it began
        ended = _ended(run_id, store, events, asked_to_stop)
        keep_trying(lambda: _record_end(store, run_id, events, ended), _PATIENCE_S)
    except RunError as error:  # no such run; or a full disk: the next reader finds whether there is a model
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    finally:
        if place is not None:
            place.close()
    return 1 if ended["state"] == "failed" else 0


def _wait_in_queue(run_id: str, store: Store, asked_to_stop: list[int]) -> RunLock | None:
    """Wait until the run may train; None if it was cancelled, or this process is asked to end."""
    try:
        spec = json.loads((store.run_folder(run_id) / "job.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):  # the run will fail with this reason when it begins
        spec = {}
    place = wait_for_device(
        store,
        run_id,
        spec.get("max_parallel", 1),
        stopped=lambda: bool(asked_to_stop),
        on_wait=lambda message: keep_trying(lambda: store.append(run_id, "log", {"message": message}), _PATIENCE_S),
    )
    if asked_to_stop:
        reason = f"stopped while it was queued; `ftkit runs resume {run_id}` queues it again"
        store.update(run_id, expect=("queued",), state="cancelled", reason=reason, finished_at=time.time())
        return None
    return place


def _begin(store: Store, run_id: str) -> bool:
    """Mark the run as running and note this process; False if it was cancelled."""
    with store.transaction(run_id) as run:
        if run.record.state != "queued":
            return False
        run.update(state="running", handle=run.record.handle | {"pid": os.getpid()})
    return True


def _record_end(store: Store, run_id: str, events: EventLog, ended: dict[str, Any]) -> None:
    events.flush()
    store.update(run_id, expect=OPEN_STATES, finished_at=time.time(), **ended)


def _ended(run_id: str, store: Store, events: EventLog, asked_to_stop: list[int]) -> dict[str, Any]:
    """Train; return how it ended as changes of the run's record."""
    remove_unfinished(store.run_folder(run_id))  # of a worker that was killed while it wrote
    try:
        # A worker may have been killed after it saved the model and before it said so.
        summary: Any = finished_summary(store.get(run_id), store)
        if summary is None:
            summary = _train(run_id, store, events, asked_to_stop)
    except FtkitError as error:
        return _failed(events, str(error))
    except MemoryError:
        return _failed(events, "out of memory; use a smaller max_batch_tokens, or gradient_checkpointing")
    except Exception as error:  # a worker must always record why it ended
        traceback.print_exc()
        message = f"{type(error).__name__}: {error} (traceback in {store.run_folder(run_id) / 'log.txt'})"
        if "out of memory" in str(error).lower():
            message += "; use a smaller max_batch_tokens, or gradient_checkpointing"
        elif disk_is_full(store.folder) or says_disk_full(error):
            message = f"the disk is full ({store.folder}); `ftkit runs resume {run_id}` continues when there is room"
        return _failed(events, message)
    if isinstance(summary, int):
        reason = f"stopped after step {summary}; `ftkit runs resume {run_id}` continues from there"
        return {"state": "cancelled", "reason": reason}
    return {"state": "succeeded", "summary": summary}


def _train(run_id: str, store: Store, events: EventLog, asked_to_stop: list[int]) -> dict[str, Any] | int:
    """The run's summary; or, when it was asked to stop, the steps it had done."""
    from ftkit.training.job import train

    folder = store.run_folder(run_id)
    spec = read_job_file(folder)
    with fellow_workers(run_id, spec.get("workers", 1), folder, spec.get("strategy", "ddp")) as workers:
        job = saved_job(run_id, store)
        setting = setting_of(job.recipe, checked=True)
        try:
            return train(job, events.append, should_stop=lambda: bool(asked_to_stop), setting=setting, workers=workers)
        except TrainingStopped as stopped:
            return int(stopped.args[0])


def _failed(events: EventLog, message: str) -> dict[str, Any]:
    print(message, file=sys.stderr, flush=True)  # noqa: T201
    events.append("error", {"message": message})
    return {"state": "failed", "error": message}


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    tolerate_full_disk()
    inherited = RunLock.adopt(int(sys.argv[2])) if len(sys.argv) > 2 else None
    sys.exit(main(sys.argv[1], inherited))
