"""The rows whose prompts are replayed after an export."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ftkit.data import Dataset, Row
from ftkit.errors import ConfigError, DataError
from ftkit.store import Store
from ftkit.task import Task

__all__ = ["rows_to_replay"]

_GIVE = "give rows to replay: replay=Dataset.load(…), or --data FILE"


def rows_to_replay(given: Dataset | None, task: Task, record: Mapping[str, Any], count: int) -> tuple[list[Row], str]:
    """Up to ``count`` rows seen through ``task``, and whose they are.

    Taken from ``given``; else, when a run of this machine made the model, from its validation rows or, without those,
    from its training rows. Which ones depends on nothing but the data.

    Args:
        record: what the model's ``ftkit.json`` says; empty when it has none.

    Raises:
        ConfigError: there are no rows, or they are gone; asks for some.
        DataError: the rows do not suit the task.
    """
    if given is not None:
        rows, whose = given.with_task(task), ""
    else:
        rows, whose = _of_run(record, task)
    if not len(rows):
        raise ConfigError(f"there is no row to replay; {_GIVE}")
    chosen = list(rows.shuffle(0).take(count))
    return chosen, whose or ", ".join(dict.fromkeys(Path(row.place.source).name for row in chosen))


def _of_run(record: Mapping[str, Any], task: Task) -> tuple[Dataset, str]:
    run_id = record.get("run_id")
    job = Store().run_folder(str(run_id)) / "job.json"
    if run_id is None or not job.is_file():
        raise ConfigError(f"the model was not made by a run that is still on this machine, so it has no rows; {_GIVE}")
    spec = json.loads(job.read_text(encoding="utf-8"))
    kind = "validation" if spec.get("validation") else "training"
    try:
        rows = Dataset.from_spec(spec.get("validation") or spec["data"]).with_task(task)
    except (DataError, OSError) as error:
        raise ConfigError(f"the {kind} rows of run {run_id} cannot be opened any more ({error}); {_GIVE}") from error
    return rows, f"{kind} rows of run {run_id}"
