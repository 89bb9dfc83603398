"""The job of a run as a worker opens it from the run's folder."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftkit.data import Dataset
from ftkit.recipe import import_plugin_modules, parse_recipe
from ftkit.store import Store

if TYPE_CHECKING:
    from ftkit.training.job import Job

__all__ = ["read_job_file", "saved_job"]


def read_job_file(folder: Path) -> dict[str, Any]:
    """Read what the starter of a run wrote.

    Args:
        folder: the run's folder.

    Returns:
        The entries of ``job.json``.
    """
    spec: dict[str, Any] = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    return spec


def saved_job(run_id: str, store: Store) -> Job:
    """Open the job of a run.

    Args:
        run_id: id of the run.
        store: where it is recorded.

    Returns:
        The job.
    """
    from ftkit.training.job import Job

    folder = store.run_folder(run_id)
    spec = read_job_file(folder)
    import_plugin_modules(spec.get("modules", ()))
    record = store.get(run_id)
    data = Dataset.from_spec(spec["data"])
    return Job(
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
        rehearsal=None if spec.get("rehearsal") is None else Dataset.from_spec(spec["rehearsal"]),
        day=date.fromisoformat(spec["day"]) if "day" in spec else None,
    )
