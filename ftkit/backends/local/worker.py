"""The process that trains: ``python -m ftkit.backends.local.worker RUN_ID``. Started by the local backend."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from typing import Any

from ftkit.data import Dataset
from ftkit.errors import FtkitError
from ftkit.store import OPEN_STATES, Store
from ftkit.training.progress import TrainingStopped

__all__ = ["main"]


def main(run_id: str) -> int:
    """Train a run, and record its result in the store.

    Args:
        run_id: the run.

    Returns:
        The exit status: 0 unless the run failed.
    """
    asked_to_stop: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: asked_to_stop.append(number))
    store = Store()
    if store.update(run_id, expect=("queued",), state="running").state != "running":
        return 0  # cancelled before it began
    try:
        summary = _train(run_id, store, asked_to_stop)
    except FtkitError as error:
        return _failed(store, run_id, str(error))
    except MemoryError:
        return _failed(store, run_id, "out of memory; use a smaller max_batch_tokens, or gradient_checkpointing")
    except Exception as error:  # a worker must always record why it ended
        traceback.print_exc()
        message = f"{type(error).__name__}: {error} (traceback in {store.run_folder(run_id) / 'log.txt'})"
        if "out of memory" in str(error).lower():
            message += "; use a smaller max_batch_tokens, or gradient_checkpointing"
        return _failed(store, run_id, message)
    if isinstance(summary, int):
        reason = f"stopped after step {summary}; `ftkit runs resume {run_id}` continues from there"
        store.update(run_id, expect=OPEN_STATES, reason=reason, state="cancelled", finished_at=time.time())
        return 0
    store.update(run_id, expect=OPEN_STATES, state="succeeded", summary=summary, finished_at=time.time())
    return 0


def _train(run_id: str, store: Store, asked_to_stop: list[int]) -> dict[str, Any] | int:
    """The run's summary; or, when it was asked to stop, the steps it had done."""
    from ftkit.backends.grading import setting_of
    from ftkit.recipe import import_plugin_modules, parse_recipe
    from ftkit.training.job import Job, train

    folder = store.run_folder(run_id)
    spec = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    import_plugin_modules(spec.get("modules", ()))
    record = store.get(run_id)
    data = Dataset.from_spec(spec["data"])
    job = Job(
        recipe=parse_recipe(spec["recipe"]),
        data=data,
        validation=None if spec["validation"] is None else Dataset.from_spec(spec["validation"]),
        model=spec["model"],
        output=folder / "model",
        record={
            "run_id": run_id,
            "task": record.task,
            "task_fingerprint": data.task.fingerprint,
            "data_fingerprint": record.data_fingerprint,
            "rows": record.rows,
        },
        epoch_models=spec.get("epoch_models", 0),
    )

    def emit(kind: Any, data: dict[str, Any]) -> None:
        store.append(run_id, kind, data)
        print(time.strftime("%H:%M:%S"), kind, json.dumps(data, ensure_ascii=False), flush=True)  # noqa: T201

    setting = setting_of(job.recipe, checked=True)
    try:
        return train(job, emit, should_stop=lambda: bool(asked_to_stop), setting=setting)
    except TrainingStopped as stopped:
        return int(stopped.args[0])


def _failed(store: Store, run_id: str, message: str) -> int:
    print(message, file=sys.stderr, flush=True)  # noqa: T201
    store.append(run_id, "error", {"message": message})
    store.update(run_id, expect=OPEN_STATES, state="failed", error=message, finished_at=time.time())
    return 1


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    sys.exit(main(sys.argv[1]))
