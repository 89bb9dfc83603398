"""The registry of metrics: ftkit's own, those of installed packages, and those that scripts register."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ftkit.errors import ConfigError
from ftkit.evaluation.metrics.metric import (
    Metric,
    MetricCollection,
    MetricContext,
    RowMetric,
    ScoreFunction,
    row_metric,
)
from ftkit.registry import Registry
from ftkit.results.metric_result import Unit

__all__ = ["METRICS", "automatic_metrics", "known_metrics", "metric"]


def _check(name: str, item: Any) -> Metric | MetricCollection:
    if isinstance(item, type) and issubclass(item, MetricCollection):
        return item()
    if isinstance(item, MetricCollection):
        return item
    if isinstance(item, Metric):
        if item.name != name:
            raise ConfigError(f"the metric {name!r} is called {item.name!r}; register it under its name")
        return item
    if callable(item) and not isinstance(item, type):
        return row_metric(item, name)
    raise ConfigError(
        f"the metric {name!r} must be a Metric, a MetricCollection or a function of one RowResult, not {item!r}"
    )


METRICS: Registry[Metric | MetricCollection] = Registry(
    "metric",
    group="ftkit.metrics",
    built_in={
        "json": "ftkit.evaluation.metrics.structured:JsonMetrics",
        "choice": "ftkit.evaluation.metrics.classification:ChoiceMetrics",
        "text": "ftkit.evaluation.metrics.text:TextMetrics",
        "tool_calls": "ftkit.evaluation.metrics.tool_calls:ToolCallMetrics",
        "calibration_error": "ftkit.evaluation.metrics.calibration:CALIBRATION_ERROR",
        "brier": "ftkit.evaluation.metrics.calibration:BRIER",
        "chrf": "ftkit.evaluation.metrics.text_overlap:CHRF",
        "rouge_l": "ftkit.evaluation.metrics.text_overlap:ROUGE_L",
    },
    check=_check,
)
"""Metrics and collections of metrics by name. Packages add theirs under the entry-point group ``ftkit.metrics``: a
:class:`Metric`, a :class:`MetricCollection`, or a plain function of one :class:`RowResult`."""


def metric(
    name: str, *, description: str | None = None, higher_is_better: bool = True, unit: Unit = "rate"
) -> Callable[[ScoreFunction], RowMetric]:
    """Register a function of one row as a metric, to be named in ``evaluate(metrics=[...])``.

    .. code-block:: python

        @metric("polite")
        def polite(row: RowResult) -> bool:
            return "please" in row.text

    Args:
        name: a name that is not taken. The same function may be registered again, as a notebook does.
        description: one sentence for the report; by default the first line of the function's docstring.
        higher_is_better: which direction is good, for verdicts.
        unit: ``"rate"`` for scores between 0 and 1, else ``"number"``.

    Returns:
        A decorator that returns the metric.

    Raises:
        ConfigError: another function has the name.
    """

    def register(score: ScoreFunction) -> RowMetric:
        registered = METRICS.find(name) if METRICS.origin(name) == "script" else None
        if isinstance(registered, RowMetric) and _qualified_name(registered.score) != _qualified_name(score):
            raise ConfigError(f'a metric "{name}" is registered already; choose another name')
        made = row_metric(score, name, description=description, higher_is_better=higher_is_better, unit=unit)
        METRICS.register(name, made)
        return made

    return register


def automatic_metrics(context: MetricContext) -> tuple[Metric, ...]:
    """Return the metrics that ``metrics="auto"`` stands for: those of the output's kind.

    Args:
        context: the output, the answered rows, the comparators.

    Returns:
        The metrics of every automatic collection that applies.
    """
    return tuple(
        metric
        for _, entry in METRICS.items()  # noqa: PERF102
        if isinstance(entry, MetricCollection) and entry.automatic
        for metric in entry.metrics(context)
    )


def known_metrics(context: MetricContext) -> dict[str, Metric]:
    """Return every metric that can be named for a task, those of collections included.

    Args:
        context: the output, the answered rows, the comparators.

    Returns:
        The metrics by name: first ftkit's own, then those of packages, then those of scripts.
    """
    known: dict[str, Metric] = {}
    for _, entry in METRICS.items():  # noqa: PERF102
        for metric in entry.metrics(context) if isinstance(entry, MetricCollection) else (entry,):
            known.setdefault(metric.name, metric)
    return known


def _qualified_name(score: ScoreFunction) -> tuple[str, str]:
    return getattr(score, "__module__", ""), getattr(score, "__qualname__", repr(score))
