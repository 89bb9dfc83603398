"""From a job's hyperparameters to a recipe of ftkit's."""

from __future__ import annotations

from typing import Any

from ftkit.recipe import Recipe
from ftkit.server.jobs.record import JobRecord
from ftkit.server.settings import Settings

__all__ = ["recipe_of"]

_NAMES = {"n_epochs": "epochs", "batch_size": "batch_size", "beta": "beta"}
_KINDS = {"supervised": "sft", "dpo": "dpo"}


def recipe_of(settings: Settings, job: JobRecord) -> Recipe:
    """What a job trains. ``"auto"`` is the server's own recipe, else ftkit's default; a multiplier scales its rate.

    Raises:
        ValueError: a number is out of range, e.g. a rate of 1 or more.
    """
    kind = _KINDS[job.method]
    usual = settings.recipe_of(kind)
    said: dict[str, Any] = {
        ours: job.hyperparameters[theirs]
        for theirs, ours in _NAMES.items()
        if job.hyperparameters.get(theirs, "auto") != "auto"
    }
    multiplier = job.hyperparameters["learning_rate_multiplier"]
    if multiplier != "auto":
        rate = usual.auto_rate() if usual.learning_rate == "auto" else usual.learning_rate
        said["learning_rate"] = rate * multiplier
    return settings.recipe_of(kind, **said, seed=job.seed)
