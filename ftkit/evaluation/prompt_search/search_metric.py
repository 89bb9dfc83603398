"""The metric that a search for a prompt optimises."""

from __future__ import annotations

from typing import Any

from ftkit.backends import Answer
from ftkit.data import Dataset
from ftkit.error_text import Argument, ErrorText
from ftkit.errors import ConfigError, RefusedError
from ftkit.evaluation.metrics import (
    GraderMetric,
    Metric,
    MetricContext,
    RowMetric,
    ScoreFunction,
    expand_graders,
    headline,
    select_metrics,
)
from ftkit.graders import Grader, MultiGrader
from ftkit.graders.model_grader import ModelGrader
from ftkit.results.report_row import RowResult
from ftkit.schema.comparators import Comparators, comparators_of
from ftkit.task import Task

__all__ = ["Scored", "search_metric"]

Scored = str | Metric | ScoreFunction | Grader
"""What a search can optimise: ``"auto"``, a name, a metric, a function of one row, or a grader."""


def search_metric(metric: Scored, task: Task, rows: Dataset, comparators: Comparators | None) -> RowMetric:
    """Resolve the metric, once for all rows: which one leads a report may depend on its rows.

    Args:
        metric: what the user gave.
        task: the task.
        rows: rows with targets.
        comparators: comparators by field of a JSON output.

    Returns:
        The metric.

    Raises:
        ConfigError: no such metric, it does not score single rows, or it counts none of them.
        RefusedError: it asks a model at a host, whose cost is not bounded.
    """
    fields = comparators_of(comparators, task.output.fields())
    unasked = Answer("", "stop", 0, 0, 0.0)
    unscored = tuple(RowResult.of(row, unasked, task) for row in rows)
    selected = select_metrics(expand_graders(metric), MetricContext(task.output, unscored, fields))
    name = headline(selected)
    found = next(one for one in selected if one.name == name)
    if not isinstance(found, RowMetric):
        single = ", ".join(one.name for one in selected if isinstance(one, RowMetric)) or "a metric of single rows"
        raise ConfigError(
            ErrorText(Argument("metric", text="metric"), f' "{name}" does not score single rows; use {single}')
        )
    if isinstance(metric, str) and all(score is None for score in found.scores(unscored)):
        raise ConfigError(
            ErrorText(
                Argument("metric", text="metric"),
                f' "{name}" counts none of the rows, because they have no wanted answer; name its column with ',
                *(Argument("target"), ", or give a grader"),
            )
        )
    asks = _asks_a_host(found)
    if asks:
        raise RefusedError(
            ErrorText(
                Argument("metric", text="metric"),
                f' "{name}" asks {asks}, and what that costs cannot be bounded. Use one that needs no host',
            ),
            fields=("metric",),
        )
    return found


def _asks_a_host(metric: RowMetric) -> str | None:
    """The model at a host that a metric asks; None if it asks none."""
    judge: Any = getattr(metric, "model", None)
    if hasattr(judge, "answer_many"):
        return str(judge.name) if judge.about().get("host") else None
    if not isinstance(metric, GraderMetric):
        return None
    grader = metric.grading.grader
    parts = grader.graders.values() if isinstance(grader, MultiGrader) else (grader,)
    names = [part.model for part in parts if isinstance(part, ModelGrader)]
    return next((name for name in names if not name.startswith("local:")), None)
