"""Taking jobs home: the tuned models of an account, and a job's rows and recipe to run elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from ftkit.backends.openai_jobs.backend import OpenAIJobs
from ftkit.catalog import load_catalog
from ftkit.data import Dataset
from ftkit.errors import ConfigError, HostError
from ftkit.files import write_atomically
from ftkit.recipe import DPO, SFT, Recipe
from ftkit.task import Task

__all__ = ["TunedModel", "import_job", "tuned_models"]


@dataclass(frozen=True, slots=True)
class TunedModel:
    """A model that a job of the account made.

    Attributes:
        job: id of the job.
        name: of the tuned model.
        base: of the model it was made from.
        method: ``"supervised"``, ``"dpo"``, ``"reinforcement"``.
        stops: when it stops answering: the host's own word where it gives one, else the catalogue's.
    """

    job: str
    name: str
    base: str
    method: str
    stops: date | None


def tuned_models(backend: OpenAIJobs) -> list[TunedModel]:
    """The tuned models of the account, newest first.

    Raises:
        HostError: the account cannot be read.
    """
    host, known = backend.host(), load_catalog()
    said = backend.patience(host.shutdown_dates)
    found = []
    for job in backend.patience(host.jobs):
        name, base = job.get("fine_tuned_model"), str(job.get("model") or "")
        if not name:
            continue
        deadline = known.stops(known.provider_at(host.url), name)
        stops = said.get(name) or said.get(base) or (None if deadline is None else deadline.on)
        found.append(TunedModel(str(job["id"]), str(name), base, _method(job), stops))
    return found


def import_job(backend: OpenAIJobs, job_id: str, folder: Path) -> list[Path]:
    """Write what is needed to run a job elsewhere: ``training.jsonl``, ``task.yaml``, ``recipe.yaml``, and
    ``validation.jsonl`` where it had one.

    The task is the rows' own: they hold whole conversations. The recipe has the job's epochs, batch size, seed, beta;
    a multiplier of a rate the host chose says nothing elsewhere, so the rate stays ``"auto"``.

    Returns:
        The files that were written.

    Raises:
        ConfigError: the job is of a kind that ftkit has no recipe for.
        HostError: there is no such job, or its rows were deleted.
        DataError: its rows cannot be read.
    """
    host = backend.host()
    job = next((one for one in backend.patience(host.jobs) if one.get("id") == job_id), None)
    if job is None:
        raise HostError(f"{backend.name}: the account has no job {job_id}; `ftkit import {backend.name}` lists them")
    recipe = _recipe(job)
    written = []
    for role in ("training", "validation"):
        file_id = job.get(f"{role}_file")
        if file_id:
            path = folder / f"{role}.jsonl"
            write_atomically(path, backend.patience(lambda file_id=file_id: host.content(str(file_id))))  # type: ignore[misc]
            Dataset.load(path)  # says now what cannot be read
            written.append(path)
    for name, made in (("task", Task()), ("recipe", recipe)):
        path = folder / f"{name}.yaml"
        made.to_yaml(path)
        written.append(path)
    return written


def _method(job: dict[str, Any]) -> str:
    return str((job.get("method") or {}).get("type") or "supervised")


def _recipe(job: dict[str, Any]) -> Recipe:
    method = _method(job)
    kinds: dict[str, type[Recipe]] = {"supervised": SFT, "dpo": DPO}
    if method not in kinds:
        raise ConfigError(f"job {job.get('id')} is {method}; there is a recipe for supervised and dpo jobs only")
    # Old answers have the numbers at the top, newer ones in the method, some in both.
    held = (job.get("hyperparameters") or {}) | (
        ((job.get("method") or {}).get(method) or {}).get("hyperparameters") or {}
    )
    names = {"n_epochs": "epochs", "batch_size": "batch_size", "beta": "beta"}
    fields = {ours: held[theirs] for theirs, ours in names.items() if isinstance(held.get(theirs), int | float)}
    if method != "dpo":
        fields.pop("beta", None)
    if job.get("seed") is not None:
        fields["seed"] = job["seed"]
    return kinds[method].model_validate(fields)
