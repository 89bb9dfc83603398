"""Import fine-tuning jobs: list the tuned models of an account, and write a job's rows, task and recipe."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from ftkit.backends.openai_jobs.backend import OpenAIJobs
from ftkit.catalog import load_catalog
from ftkit.data import Dataset
from ftkit.errors import ConfigError, HostError
from ftkit.files import write_atomically
from ftkit.recipe import DPO, RFT, SFT, Recipe
from ftkit.schema import JsonOutput
from ftkit.task import Task

__all__ = ["JOB_FILES", "TunedModel", "import_job", "tuned_models"]

JOB_FILES = ("training.jsonl", "validation.jsonl", "task.yaml", "recipe.yaml")
"""What :func:`import_job` writes."""
_FIELDS = {"n_epochs": "epochs", "batch_size": "batch_size", "beta": "beta"}
_RFT_FIELDS = {
    "n_epochs": "epochs",
    "batch_size": "batch_size",
    "eval_interval": "eval_steps",
    "eval_samples": "eval_generations",
    "compute_multiplier": "compute_multiplier",
}


@dataclass(frozen=True, slots=True)
class TunedModel:
    """A model that a job of the account made.

    Attributes:
        job: id of the job.
        name: name of the tuned model.
        base: name of its base model.
        method: ``"supervised"``, ``"dpo"`` or ``"reinforcement"``.
        stops: shutdown date of the model: the host's own if it gives one, else the catalogue's.
    """

    job: str
    name: str
    base: str
    method: str
    stops: date | None


def tuned_models(backend: OpenAIJobs) -> list[TunedModel]:
    """List the tuned models of the account.

    Args:
        backend: the host, with any model.

    Returns:
        The models, newest first.
    """
    host, catalog = backend.host(), load_catalog()
    shutdown_dates = backend.retry_policy(host.shutdown_dates)
    models = []
    for job in backend.retry_policy(host.jobs):
        name, base = job.get("fine_tuned_model"), str(job.get("model") or "")
        if not name:
            continue
        deadline = catalog.stops(catalog.provider_at(host.url), name)
        stops = shutdown_dates.get(name) or shutdown_dates.get(base) or (None if deadline is None else deadline.on)
        models.append(TunedModel(str(job["id"]), str(name), base, _method(job), stops))
    return models


def import_job(backend: OpenAIJobs, job_id: str, folder: Path) -> list[Path]:
    """Write what is needed to run a job elsewhere.

    The rows hold whole conversations, so the task has no more than the output that a job by reinforcement held answers
    to. The recipe has the job's epochs, batch size, seed and beta, and its grader. The learning rate stays ``"auto"``,
    because a multiplier of the host's own rate means nothing elsewhere.

    Args:
        backend: the host, with any model.
        job_id: id of the job.
        folder: the folder that the files are written to.

    Returns:
        The written files: ``training.jsonl``, perhaps ``validation.jsonl``, ``task.yaml`` and ``recipe.yaml``.

    Raises:
        HostError: there is no such job, or its rows were deleted.
    """
    host = backend.host()
    job = next((job for job in backend.retry_policy(host.jobs) if job.get("id") == job_id), None)
    if job is None:
        raise HostError(f"{backend.name}: the account has no job {job_id}; `ftkit import {backend.name}` lists them")
    recipe = _recipe(job)
    written = []
    for role in ("training", "validation"):
        file_id = job.get(f"{role}_file")
        if file_id:
            path = folder / f"{role}.jsonl"
            write_atomically(path, backend.retry_policy(functools.partial(host.content, str(file_id))))
            Dataset.load(path)  # raises now if the rows cannot be read
            written.append(path)
    for name, content in (("task", _task(job)), ("recipe", recipe)):
        path = folder / f"{name}.yaml"
        content.to_yaml(path)
        written.append(path)
    return written


def _method(job: dict[str, Any]) -> str:
    return str((job.get("method") or {}).get("type") or "supervised")


def _task(job: dict[str, Any]) -> Task:
    """A task with the output of the job's ``response_format``, which graders of reinforcement may read as JSON."""
    body = ((job.get("method") or {}).get("reinforcement") or {}).get("response_format") or {}
    held = body.get("json_schema") or {}
    if body.get("type") != "json_schema" or not isinstance(held.get("schema"), dict):
        return Task()
    return Task(output=JsonOutput(name=str(held.get("name") or "answer"), json_schema=held["schema"]))


def _recipe(job: dict[str, Any]) -> Recipe:
    method = _method(job)
    kinds: dict[str, type[Recipe]] = {"supervised": SFT, "dpo": DPO, "reinforcement": RFT}
    if method not in kinds:
        raise ConfigError(
            f"job {job.get('id')} is {method}; there is a recipe for supervised, dpo and reinforcement jobs only"
        )
    # Old jobs have the hyperparameters at the top level, newer ones in the method, some in both places.
    values = (job.get("hyperparameters") or {}) | (
        ((job.get("method") or {}).get(method) or {}).get("hyperparameters") or {}
    )
    names = _RFT_FIELDS if method == "reinforcement" else _FIELDS
    fields: dict[str, Any] = {
        ours: values[theirs] for theirs, ours in names.items() if isinstance(values.get(theirs), int | float)
    }
    if method != "dpo":
        fields.pop("beta", None)
    if method == "reinforcement":
        fields["grader"] = (job["method"].get(method) or {}).get("grader")
        if values.get("reasoning_effort") in ("low", "medium", "high"):
            fields["reasoning_effort"] = values["reasoning_effort"]
    if job.get("seed") is not None:
        fields["seed"] = job["seed"]
    return kinds[method].model_validate(fields)
