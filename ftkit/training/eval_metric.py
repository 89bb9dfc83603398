"""The metric that a recipe's ``eval_metric`` names. Metrics lie above training, so they are found by name.

Importing this module loads no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from pkgutil import resolve_name
from typing import Protocol, cast

from ftkit.data import Row
from ftkit.graders import GraderContext
from ftkit.recipe import Recipe
from ftkit.results.answer import Answer
from ftkit.task import Task

__all__ = ["AnswerMetric", "training_metric"]


class AnswerMetric(Protocol):
    """What :class:`ftkit.evaluation.training_metric.TrainingMetric` offers."""

    name: str
    higher_is_better: bool

    def value(self, rows: Sequence[Row], answers: Sequence[Answer]) -> float:
        """Measure answers.

        Args:
            rows: validation rows.
            answers: the answer to each.

        Returns:
            The metric over all rows.
        """
        ...


def training_metric(recipe: Recipe, task: Task, setting: GraderContext) -> AnswerMetric | None:
    """Make what scores the answers to a run's validation rows.

    Args:
        recipe: the recipe.
        task: the task of the rows.
        setting: what a grader may use.

    Returns:
        A :class:`ftkit.evaluation.training_metric.TrainingMetric`; None without ``eval_metric``.

    Raises:
        RefusedError: there is no such metric for this task.
        ConfigError: what a grader needs is not available or not allowed.
    """
    if recipe.eval_metric is None:
        return None
    made = resolve_name("ftkit.evaluation.training_metric:TrainingMetric")
    return cast("AnswerMetric", made(recipe.eval_metric, task.output, setting))
