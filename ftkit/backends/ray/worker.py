"""One of the workers that train a run on a cluster."""

from __future__ import annotations

import os
from datetime import date
from typing import Any

from ftkit.backends.grading import setting_of
from ftkit.backends.ray.run_files import Workspace
from ftkit.backends.ray.run_folder import run_files
from ftkit.backends.remote.job_description import open_job
from ftkit.errors import FtkitError
from ftkit.training.progress import TrainingStopped

__all__ = ["train_worker"]


def train_worker(config: dict[str, Any]) -> None:
    """Train as one of the workers. Ray Train has connected them.

    Args:
        config: ``storage`` and ``run_id``.

    Raises:
        FtkitError: training cannot go on. Started again after that, a worker does nothing.
    """
    from ftkit.training.job import Job, train
    from ftkit.training.worker_group import WorkerGroup

    folder = run_files(config["storage"], config["run_id"])
    described = folder.job()
    workers = WorkerGroup.of_process_group(described["cluster"].get("strategy", "ddp"))
    if workers.from_first(folder.ended) is not None:  # Ray starts the workers again after any error
        return
    if workers.is_first:
        folder.say_begun()
    try:
        with folder.workspace(first=workers.is_first) as place:
            os.environ["FTKIT_HOME"] = str(place.home)
            opened = open_job(described, config["run_id"], place.received)
            job = Job(
                recipe=opened.recipe,
                data=opened.data,
                validation=opened.validation,
                model=_model(described, config["storage"], place),
                output=place.output,
                record=described["record"],
                day=date.fromisoformat(described["day"]),
            )
            summary = train(
                job,
                folder.append,
                lambda: workers.is_first and folder.is_asked_to_stop(),
                setting_of(opened.recipe, checked=True),
                workers=workers,
            )
        ended: dict[str, Any] = {"state": "succeeded", "summary": {**summary, "workers": workers.size}}
    except TrainingStopped as stopped:
        ended = {"state": "cancelled", "reason": f"stopped after step {stopped.args[0]}"}
    except FtkitError as error:  # it would come again
        folder.finish(state="failed", error=str(error))
        raise  # Ray ends the other workers, which may be waiting for this one
    if workers.is_first:
        folder.finish(**ended)


def _model(described: dict[str, Any], storage: str, place: Workspace) -> str:
    """The name of the model to train; one that a run on the storage has made is fetched."""
    made = described.get("made_by")
    found = None if made is None else run_files(storage, made).local_model(place.home / "models")
    return str(described["model"] if found is None else found)
