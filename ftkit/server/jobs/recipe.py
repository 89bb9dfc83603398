"""Convert a job's hyperparameters to a recipe."""

from __future__ import annotations

from typing import Any

from ftkit.graders import Grader, grader_of
from ftkit.modeling.model_source import find_source
from ftkit.recipe import Recipe, RecipeFacts
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
"""Hyperparameters that are fields of a recipe: OpenAI's name → the field."""
_KINDS = {"supervised": "sft", "dpo": "dpo", "reinforcement": "rft"}


def job_recipe(settings: Settings, job: JobRecord, grader: Grader | None = None) -> Recipe:
    """Return the recipe of a job.

    ``"auto"`` means the value of the server's settings, else ftkit's default. ``learning_rate_multiplier`` scales the
    learning rate, ``compute_multiplier`` the number of answers sampled for each prompt.

    Args:
        settings: the server's settings.
        job: the job.
        grader: its grader, if that was parsed before.

    Returns:
        An SFT, DPO or RFT recipe.

    Raises:
        ValueError: a value is out of range, e.g. a learning rate of 1 or more.
    """
    kind = _KINDS[job.method]
    graders = {}
    if job.grader is not None:
        graders["grader"] = with_sources(grader or grader_of(job.grader), job.grader_models)
    default = settings.recipe_of(kind, **graders)
    fields: dict[str, Any] = {
        field: job.hyperparameters[name]
        for name, field in RECIPE_FIELDS.items()
        if job.hyperparameters.get(name, "auto") != "auto"
    }
    multiplier = job.hyperparameters["learning_rate_multiplier"]
    if multiplier != "auto":
        rate = default.learning_rate
        if rate == "auto":
            rate = default.auto_rate(RecipeFacts(0, size=find_source(job.source).size()))
        fields["learning_rate"] = rate * multiplier
    compute = job.hyperparameters.get("compute_multiplier", "auto")
    if compute != "auto" and "num_generations" in type(default).model_fields:
        fields["num_generations"] = round(default.model_dump()["num_generations"] * compute)
    return settings.recipe_of(kind, **graders, **fields, seed=job.seed)
