"""The metric that a run's evaluations go by: a recipe's ``eval_metric``, measured as a report measures it.

Training lies below evaluation, so :mod:`ftkit.training.answer_evaluation` finds this module by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from ftkit.data import Row
from ftkit.errors import ConfigError, RefusedError
from ftkit.evaluation.metric_statistics import cluster_ids, metric_statistics
from ftkit.evaluation.metrics import Metric, MetricContext, select_metrics
from ftkit.evaluation.metrics.grader_metric import metrics_of
from ftkit.evaluation.scoring import score_rows
from ftkit.graders import Grader, GraderContext
from ftkit.results.answer import Answer
from ftkit.results.report_row import RowResult
from ftkit.schema import Output

__all__ = ["RESERVED", "TrainingMetric"]

RESERVED = frozenset({"step", "loss", "reward", "seconds", "token_accuracy", "eval_metric", "answered", "cut_off"})
"""Entries of an evaluation's event that a metric cannot be called by."""


class TrainingMetric:
    """Scores the answers to validation rows by one metric.

    Args:
        chosen: the name of a metric, or a grader.
        output: the task's output, which parses the answers.
        setting: what a grader may use.

    Raises:
        RefusedError: there is no such metric for this task, or its name is taken by the event's own entries.
        ConfigError: what a grader needs is not available or not allowed.
    """

    def __init__(self, chosen: str | Grader, output: Output, setting: GraderContext) -> None:
        self._chosen, self._output = chosen, output
        self._grader = metrics_of(chosen, setting)[0] if isinstance(chosen, Grader) else None
        metric = self._metric(())
        self.name = metric.name
        """The metric's name."""
        self.higher_is_better = metric.higher_is_better
        """Whether a larger value is better."""
        if self.name in RESERVED or self.name.startswith("preserve_"):
            _refuse(f"a metric of this use cannot be called {self.name!r}; register it under another name")

    def value(self, rows: Sequence[Row], answers: Sequence[Answer]) -> float:
        """Measure answers.

        Args:
            rows: validation rows.
            answers: the answer to each.

        Returns:
            The metric over all rows.

        Raises:
            RefusedError: the metric leaves every row out, e.g. because none has a target.
        """
        results = [RowResult.of(row, answer, self._output, None) for row, answer in zip(rows, answers, strict=True)]
        metric = self._metric(tuple(results))
        scored = score_rows(results, [metric])
        value = metric_statistics(metric, scored, cluster_ids(scored)).value
        if value is None:
            _refuse(f"{self.name} is not defined for these {len(rows)} validation rows; do they have targets?")
        return value

    def _metric(self, rows: tuple[RowResult, ...]) -> Metric:
        if self._grader is not None:
            return self._grader
        assert isinstance(self._chosen, str)  # noqa: S101  (no grader, so a name)
        try:
            selected = select_metrics(self._chosen, MetricContext(self._output, rows))
        except ConfigError as error:
            _refuse(str(error).removeprefix("metrics: "))
        if len(selected) > 1:
            names = ", ".join(metric.name for metric in selected)
            _refuse(f"{self._chosen!r} stands for several metrics; name one of {names}")
        return selected[0]


def _refuse(problem: str) -> NoReturn:
    raise RefusedError(f"eval_metric: {problem}", backend="local", fields=("eval_metric",))
