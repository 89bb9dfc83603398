"""From what a user gives as ``metrics=`` to the metrics of a report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from ftkit.errors import ConfigError
from ftkit.evaluation.metrics.grader_metric import graded
from ftkit.evaluation.metrics.metric import Metric, MetricCollection, MetricContext, ScoreFunction, row_metric
from ftkit.evaluation.metrics.registry import METRICS, automatic_metrics, known_metrics
from ftkit.graders import Grader

__all__ = ["Metrics", "columns_read", "expand_graders", "headline", "select_metrics"]

MetricLike = str | Metric | MetricCollection | ScoreFunction | Grader
Metrics = MetricLike | Sequence[MetricLike]
"""``"auto"``, a name, a metric, a collection, a grader, a function of one row, or several of these."""


def select_metrics(metrics: Metrics, context: MetricContext) -> tuple[Metric, ...]:
    """Return the metrics that a user asks for, in order, each once.

    Args:
        metrics: as for :func:`ftkit.evaluate`.
        context: the output, the answered rows, the comparators.

    Returns:
        At least one metric.

    Raises:
        ConfigError: an unknown name, a function without a name, two different metrics of the same name, or none.
        MissingExtraError: a library that a grader needs is not installed.
    """
    selected: dict[str, Metric] = {}
    registered: set[str] = set()  # a name stands for one metric, although a collection makes it anew each time
    for item in expand_graders(metrics):
        resolved = _resolve(item, context)
        again = registered if isinstance(item, str) else set()
        for metric in resolved:
            if selected.setdefault(metric.name, metric) is not metric and metric.name not in again:
                raise ConfigError(f'metrics: two different metrics are called "{metric.name}"; rename one')
        if isinstance(item, str):
            registered.update(metric.name for metric in resolved)
    if not selected:
        raise ConfigError('metrics: none given; use "auto" for the metrics of the task')
    return tuple(selected.values())


def headline(metrics: Sequence[Metric], primary: str | None = None) -> str:
    """Return the name of the metric that a report leads with.

    Args:
        metrics: the report's metrics.
        primary: the user's choice; by default the metric with the highest rank, which is the output's accuracy.

    Returns:
        The metric's name.

    Raises:
        ConfigError: ``primary`` is not among the metrics.
    """
    names = [metric.name for metric in metrics]
    if primary is not None:
        if primary not in names:
            raise ConfigError(f'primary: no metric "{primary}" among {", ".join(names)}')
        return primary
    return max(metrics, key=lambda metric: metric.headline_rank).name


def expand_graders(metrics: Metrics) -> list[str | Metric | MetricCollection | ScoreFunction]:
    """Replace graders by their metrics.

    Args:
        metrics: as for :func:`ftkit.evaluate`.

    Returns:
        A list without graders.

    Raises:
        ConfigError: what a grader needs is not available or not allowed.
        MissingExtraError: a library that a grader needs is not installed.
    """
    single = isinstance(metrics, str | Metric | MetricCollection | Grader) or callable(metrics)
    items = cast("Sequence[MetricLike]", [metrics] if single else metrics)
    expanded: list[str | Metric | MetricCollection | ScoreFunction] = []
    for item in items:
        if isinstance(item, Grader):
            expanded += graded(item)
        else:
            expanded.append(item)
    return expanded


def columns_read(metrics: Sequence[str | Metric | MetricCollection | ScoreFunction]) -> frozenset[str] | None:
    """Return the columns of the data that metrics read.

    Args:
        metrics: what :func:`expand_graders` returned.

    Returns:
        The columns' names; None if a metric's code may read any.
    """
    columns: frozenset[str] = frozenset()
    for item in metrics:
        if isinstance(item, Metric):
            if item.columns is None:
                return None
            columns |= item.columns
    return columns


def _resolve(item: str | Metric | MetricCollection | ScoreFunction, context: MetricContext) -> tuple[Metric, ...]:
    if isinstance(item, Metric):
        return (item,)
    if isinstance(item, str):
        return _resolve_name(item, context)
    if isinstance(item, MetricCollection):
        return item.metrics(context)
    if not callable(item):
        raise ConfigError(f"metrics: {item!r} is neither a name nor a function of one row")
    name = getattr(item, "__name__", "<lambda>")
    if name == "<lambda>":
        raise ConfigError('metrics: a lambda has no name; write @metric("name") over a function')
    return (row_metric(item, name),)


def _resolve_name(name: str, context: MetricContext) -> tuple[Metric, ...]:
    automatic = automatic_metrics(context)
    if name == "auto":
        return automatic
    if name in METRICS:
        entry = METRICS.get(name)
        if isinstance(entry, MetricCollection):
            metrics = entry.metrics(context)
            if not metrics:
                raise ConfigError(f'metrics: "{name}" has no metrics for a task with {context.output.kind} output')
            return metrics
    known = {**known_metrics(context), **{metric.name: metric for metric in automatic}}
    if name not in known:
        names = dict.fromkeys(["auto", *(metric.name for metric in automatic), *known])
        raise ConfigError(f'metrics: no metric "{name}"; known are: {", ".join(names)}')
    return (known[name],)
