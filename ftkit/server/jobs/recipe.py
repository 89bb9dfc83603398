"""From a job's hyperparameters to a recipe of ftkit's."""

from __future__ import annotations

from typing import Any

from ftkit.graders import grader_of
from ftkit.recipe import RFT, Recipe
from ftkit.server.graders.grader_schema import with_sources
from ftkit.server.jobs.job_record import JobRecord
from ftkit.server.settings import Settings

__all__ = ["RECIPE_FIELDS", "job_recipe"]

RECIPE_FIELDS = {
    "n_epochs": "epochs",
    "batch_size": "batch_size",
    "beta": "beta",
    "eval_interval": "eval_steps",
    "eval_samples": "eval_generations",
}
"""Hyperparameters that are fields of the recipe, by their names there."""
_KINDS = {"supervised": "sft", "dpo": "dpo", "reinforcement": "rft"}


def job_recipe(settings: Settings, job: JobRecord) -> Recipe:
    """What a job trains. ``"auto"`` is the server's own recipe, else ftkit's default; a multiplier scales its rate, or
    how many answers are drawn to a prompt.

    Raises:
        ValueError: a number is out of range, e.g. a rate of 1 or more.
    """
    kind = _KINDS[job.method]
    graded = {} if job.grader is None else {"grader": with_sources(grader_of(job.grader), job.grader_models)}
    usual = settings.recipe_of(kind, **graded)
    said: dict[str, Any] = {
        ours: job.hyperparameters[theirs]
        for theirs, ours in RECIPE_FIELDS.items()
        if job.hyperparameters.get(theirs, "auto") != "auto"
    }
    multiplier = job.hyperparameters["learning_rate_multiplier"]
    if multiplier != "auto":
        rate = usual.auto_rate() if usual.learning_rate == "auto" else usual.learning_rate
        said["learning_rate"] = rate * multiplier
    compute = job.hyperparameters.get("compute_multiplier", "auto")
    if compute != "auto" and isinstance(usual, RFT):
        said["num_generations"] = round(usual.num_generations * compute)
    return settings.recipe_of(kind, **graded, **said, seed=job.seed)
