"""From rows with answers to scored rows, and from scored rows to metrics with their intervals."""

from __future__ import annotations

from collections.abc import Sequence

from ftkit.evaluation.metric_interval import value_interval
from ftkit.evaluation.metric_statistics import cluster_ids, metric_statistics
from ftkit.evaluation.metrics import Metric, RowMetric
from ftkit.results.metric_result import MetricResult
from ftkit.results.report_row import RowResult

__all__ = ["measure", "score_rows"]


def score_rows(rows: Sequence[RowResult], metrics: Sequence[Metric]) -> tuple[RowResult, ...]:
    """Score rows by those metrics that score single rows.

    Args:
        rows: rows with their answers.
        metrics: the metrics.

    Returns:
        The rows with their scores. Where a row has several answers, its score is the mean of theirs.
    """
    row_metrics = [metric for metric in metrics if isinstance(metric, RowMetric)]
    bare = [row.model_copy(update={"scores": {}, "failures": {}, "others": ()}) for row in rows]
    columns = {metric.name: metric.scores(bare) for metric in row_metrics}
    scores = [{name: column[index] for name, column in columns.items()} for index in range(len(rows))]
    failures = {metric.name: metric.failures(bare) for metric in row_metrics}
    bare = [
        row.model_copy(update={"failures": {name: each[index] for name, each in failures.items() if each[index]}})
        for index, row in enumerate(bare)
    ]
    if not any(row.others for row in rows):
        return tuple(row.model_copy(update={"scores": own}) for row, own in zip(bare, scores, strict=True))
    scored_others = iter(score_rows([other for row in rows for other in row.others], metrics))
    scored = []
    for row, single, own in zip(rows, bare, scores, strict=True):
        others = tuple(next(scored_others) for _ in row.others)
        mean = {name: _mean([score, *(other.scores[name] for other in others)]) for name, score in own.items()}
        scored.append(single.model_copy(update={"scores": mean, "others": others}))
    return tuple(scored)


def _mean(scores: Sequence[float | None]) -> float | None:
    counted = [score for score in scores if score is not None]
    return sum(counted) / len(counted) if counted else None


def measure(rows: Sequence[RowResult], metrics: Sequence[Metric], *, confidence: float) -> tuple[MetricResult, ...]:
    """Compute every metric with its confidence interval.

    Args:
        rows: scored rows.
        metrics: the metrics.
        confidence: confidence level of the intervals, e.g. 0.95.

    Returns:
        One result for each metric, in order.
    """
    clusters = cluster_ids(rows)
    results = []
    for metric in metrics:
        statistics = metric_statistics(metric, rows, clusters)
        interval = value_interval(statistics, clusters, confidence)
        results.append(
            MetricResult(
                name=metric.name,
                description=metric.description,
                value=statistics.value,
                low=interval.low,
                high=interval.high,
                n=int(statistics.counted.sum()),
                method=interval.method,
                reason=interval.reason,
                unit=metric.unit,
                higher_is_better=metric.higher_is_better,
            )
        )
    return tuple(results)
