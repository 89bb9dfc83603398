"""Choose the rows whose prompts are replayed after an export."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ftkit.data import Dataset, Row
from ftkit.error_text import ErrorText, error_text
from ftkit.errors import ConfigError, DataError
from ftkit.store import Store
from ftkit.task import Task

__all__ = ["rows_to_replay"]

_GIVE = "pass rows to replay: replay=Dataset.load(…), or --data FILE"


def rows_to_replay(given: Dataset | None, task: Task, record: Mapping[str, Any], count: int) -> tuple[list[Row], str]:
    """Choose rows to replay.

    They come from ``given``; without it, from the validation rows of the run on this machine that trained the model, or
    from its training rows if it had no validation rows. The choice depends only on the data.

    Args:
        given: rows that the user passed, or None.
        task: the model's task.
        record: the content of the model's ``ftkit.json``; empty if there is none.
        count: most rows to choose.

    Returns:
        The rows, and a description of where they come from.

    Raises:
        ConfigError: there are no rows, or they no longer exist.
        DataError: the rows do not fit the task.
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
        raise ConfigError(f"no run on this machine trained the model, so its rows are unknown; {_GIVE}")
    spec = json.loads(job.read_text(encoding="utf-8"))
    kind = "validation" if spec.get("validation") else "training"
    try:
        rows = Dataset.from_spec(spec.get("validation") or spec["data"]).with_task(task)
    except (DataError, OSError) as error:
        raise ConfigError(
            ErrorText(f"the {kind} rows of run {run_id} can no longer be opened (", error_text(error), f"); {_GIVE}")
        ) from error
    return rows, f"{kind} rows of run {run_id}"
