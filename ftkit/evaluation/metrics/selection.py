"""Which metrics a report has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ftkit.errors import ConfigError
from ftkit.evaluation.metrics.calibration import CALIBRATION
from ftkit.evaluation.metrics.classification import choice_metrics
from ftkit.evaluation.metrics.grader_metric import GraderMetric, graded
from ftkit.evaluation.metrics.metric import REGISTERED, Metric, ScoreFunction, row_metric
from ftkit.evaluation.metrics.structured import structured_metrics
from ftkit.evaluation.metrics.text import text_metrics
from ftkit.evaluation.metrics.text_overlap import OVERLAP
from ftkit.graders import Grader
from ftkit.results.report_row import RowResult
from ftkit.schema import ChoiceOutput, JsonOutput, Output
from ftkit.schema.comparators import Comparator

__all__ = ["Metrics", "chosen_metrics", "columns_read", "default_metrics", "headline", "with_graders"]

OneMetric = str | Metric | ScoreFunction | Grader
Metrics = OneMetric | Sequence[OneMetric]
"""``"auto"``, a name, a metric, a grader, a function of one row, or several of these."""

_HEADLINES = ("record_match", "record_exact", "accuracy", "tool_calls_match", "exact_match")


def default_metrics(
    output: Output, rows: tuple[RowResult, ...], comparators: Mapping[str, Comparator] | None = None
) -> tuple[Metric, ...]:
    """What ``metrics="auto"`` stands for: the metrics of the output's kind."""
    if isinstance(output, JsonOutput):
        return structured_metrics(output, comparators)
    if isinstance(output, ChoiceOutput):
        calibrated = any(row.logprob is not None for row in rows)
        return (*choice_metrics(output), *(CALIBRATION if calibrated else ()))
    return text_metrics(rows)


def chosen_metrics(
    metrics: Metrics,
    output: Output,
    rows: tuple[RowResult, ...],
    comparators: Mapping[str, Comparator] | None = None,
) -> tuple[Metric, ...]:
    """The metrics that ``metrics`` asks for, in order, each once.

    Raises:
        ConfigError: an unknown name, a function without one, or two metrics of the same name.
    """
    built_in = default_metrics(output, rows, comparators)
    named: tuple[Metric, ...] = (*OVERLAP, *CALIBRATION)
    known = {**REGISTERED, **{metric.name: metric for metric in (*built_in, *named)}}
    found: dict[str, Metric] = {}
    for item in with_graders(metrics):
        for metric in _named(item, built_in, known):
            if found.setdefault(metric.name, metric) is not metric:
                raise ConfigError(f'metrics: two different metrics are called "{metric.name}"; rename one')
    if not found:
        raise ConfigError('metrics: none given; use "auto" for the metrics of the task')
    return tuple(found.values())


def headline(metrics: Sequence[Metric], primary: str | None = None) -> str:
    """The name of the metric that a report leads with: ``primary``, else the output's accuracy, else the first."""
    names = [metric.name for metric in metrics]
    if primary is not None:
        if primary not in names:
            raise ConfigError(f'primary: no metric "{primary}" among {", ".join(names)}')
        return primary
    return next((name for name in _HEADLINES if name in names), names[0])


def with_graders(metrics: Metrics) -> list[str | Metric | ScoreFunction]:
    """What ``metrics`` asks for, each grader as its metrics.

    Raises:
        ConfigError, MissingExtraError: a grader cannot run.
    """
    asked = [metrics] if isinstance(metrics, str | Metric | Grader) or callable(metrics) else list(metrics)
    found: list[str | Metric | ScoreFunction] = []
    for item in asked:
        found += graded(item) if isinstance(item, Grader) else (item,)
    return found


def columns_read(metrics: Sequence[str | Metric | ScoreFunction]) -> frozenset[str] | None:
    """The columns of the data that graders among ``metrics`` read; None when only their code knows."""
    found: frozenset[str] = frozenset()
    for item in metrics:
        columns = item.grading.grader.reads() if isinstance(item, GraderMetric) else frozenset[str]()
        if columns is None:
            return None
        found |= columns
    return found


def _named(
    item: str | Metric | ScoreFunction, built_in: tuple[Metric, ...], known: dict[str, Metric]
) -> tuple[Metric, ...]:
    if isinstance(item, Metric):
        return (item,)
    if item == "auto":
        return built_in
    if isinstance(item, str):
        if item not in known:
            raise ConfigError(f'metrics: no metric "{item}"; known are: auto, {", ".join(known)}')
        return (known[item],)
    if not callable(item):
        raise ConfigError(f"metrics: {item!r} is neither a name nor a function of one row")
    name = getattr(item, "__name__", "<lambda>")
    if name == "<lambda>":
        raise ConfigError('metrics: a lambda has no name; write @metric("name") over a function')
    return (row_metric(item, name),)
