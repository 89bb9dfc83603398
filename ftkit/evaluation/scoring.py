"""From rows with answers to scored rows, and from scored rows to metrics with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftkit.evaluation.metrics import Metric, RatioMetric, RowMetric
from ftkit.evaluation.statistics import (
    bca_interval,
    cluster_sums,
    critical_value,
    effective_rows,
    resample,
    wilson_interval,
)
from ftkit.results.metric_result import Method, MetricResult
from ftkit.results.report_row import RowResult

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["MetricStatistics", "cluster_ids", "measure", "metric_statistics", "score_rows"]


@dataclass(frozen=True)
class MetricStatistics:
    """A metric's statistics over all rows."""

    metric: Metric
    by_row: NDArray[np.float64]
    """Shape ``[rows, k]``."""
    by_cluster: NDArray[np.float64]
    """Summed over the rows of each cluster, shape ``[clusters, k]``."""

    @property
    def value(self) -> float | None:
        """The metric over all rows; None if it is not defined."""
        number = float(self.metric.compute(self.by_cluster.sum(axis=0)))
        return None if number != number else number

    @property
    def counted(self) -> NDArray[np.bool_]:
        """Which rows are in the metric's denominator, shape ``[rows]``."""
        denominator = self.by_row[:, -1] if self.is_ratio else self.by_row.any(axis=1)
        return denominator.astype(bool)

    @property
    def is_ratio(self) -> bool:
        """Whether the metric has a numerator and a denominator for each row."""
        return isinstance(self.metric, RatioMetric)

    @property
    def is_binary(self) -> bool:
        """Whether each counted row scores 0 or 1, so that the metric is a proportion of rows."""
        return self.is_ratio and self.metric.unit == "rate" and bool(((self.by_row == 0) | (self.by_row == 1)).all())

    def leave_one_out(self) -> NDArray[np.float64]:
        """Compute the metric without each cluster in turn (the jackknife).

        Returns:
            Shape ``[clusters]``.
        """
        return self.metric.compute(self.by_cluster.sum(axis=0) - self.by_cluster)


def cluster_ids(rows: Sequence[RowResult]) -> NDArray[np.int64]:
    """Assign each row to a cluster: rows of one group share a cluster, and a row without a group is its own.

    Args:
        rows: the rows.

    Returns:
        Cluster ids from 0, shape ``[rows]``.
    """
    import numpy as np

    ids: dict[object, int] = {}
    keys = ((row.group, None) if row.group is not None else (None, index) for index, row in enumerate(rows))
    return np.array([ids.setdefault(key, len(ids)) for key in keys], dtype=np.int64)


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


def metric_statistics(metric: Metric, rows: Sequence[RowResult], clusters: NDArray[np.int64]) -> MetricStatistics:
    """Collect a metric's statistics over rows.

    Args:
        metric: the metric.
        rows: scored rows. Several answers to one row are averaged first, so that each row weighs the same.
        clusters: cluster ids, shape ``[rows]``.

    Returns:
        The statistics by row and by cluster.
    """
    import numpy as np

    if isinstance(metric, RowMetric):
        each = [metric.statistics(row) for row in rows]
    else:
        each = [tuple(np.mean([metric.statistics(answer) for answer in row.answers], axis=0)) for row in rows]
    by_row = np.array(each, dtype=np.float64)
    return MetricStatistics(metric, by_row, cluster_sums(by_row, clusters))


def measure(
    rows: Sequence[RowResult], metrics: Sequence[Metric], *, confidence: float, seed: int
) -> tuple[MetricResult, ...]:
    """Compute every metric with its confidence interval.

    Proportions of rows get Wilson's score interval, with the effective number of rows if groups repeat. All other
    metrics get the BCa bootstrap over groups. A rate whose rows all score the same has no bootstrap spread; it gets
    Wilson's interval, with each group counted as one row.

    Args:
        rows: scored rows.
        metrics: the metrics.
        confidence: confidence level of the intervals, e.g. 0.95.
        seed: seed of the bootstrap.

    Returns:
        One result for each metric, in order.
    """
    import numpy as np

    clusters = cluster_ids(rows)
    statistics = [metric_statistics(metric, rows, clusters) for metric in metrics]
    bootstrapped = [each for each in statistics if not each.is_binary and each.value is not None]
    samples: dict[str, NDArray[np.float64]] = {}
    if bootstrapped:
        totals = resample(np.concatenate([each.by_cluster for each in bootstrapped], axis=1), seed=seed)
        edges = np.cumsum([each.by_cluster.shape[1] for each in bootstrapped])[:-1]
        for each, part in zip(bootstrapped, np.split(totals, edges, axis=1), strict=True):
            samples[each.metric.name] = each.metric.compute(part)
    return tuple(_result(each, clusters, samples.get(each.metric.name), confidence) for each in statistics)


def _result(
    statistics: MetricStatistics, clusters: NDArray[np.int64], samples: NDArray[np.float64] | None, confidence: float
) -> MetricResult:
    metric = statistics.metric
    low, high, method = _interval(statistics, clusters, samples, confidence)
    return MetricResult(
        name=metric.name,
        description=metric.description,
        value=statistics.value,
        low=low,
        high=high,
        n=int(statistics.counted.sum()),
        method=method,
        unit=metric.unit,
        higher_is_better=metric.higher_is_better,
    )


def _interval(
    statistics: MetricStatistics, clusters: NDArray[np.int64], samples: NDArray[np.float64] | None, confidence: float
) -> tuple[float | None, float | None, Method]:
    import numpy as np

    value = statistics.value
    if value is None:
        return None, None, "none"
    counted = statistics.counted
    _, own = np.unique(clusters[counted], return_inverse=True)
    groups = int(own.max()) + 1
    clustered = groups < len(own)
    critical = critical_value(confidence, groups if clustered else None)
    if samples is None:
        rows = effective_rows(statistics.by_row[counted, 0], own)
        return *wilson_interval(value * rows, rows, critical), "wilson-clustered" if clustered else "wilson"
    if float(np.nanmax(samples) - np.nanmin(samples)) > 1e-12:
        return *bca_interval(value, samples, statistics.leave_one_out(), confidence), "bootstrap"
    if statistics.metric.unit == "rate":
        return *wilson_interval(value * groups, groups, critical), "wilson-clustered" if clustered else "wilson"
    return None, None, "none"
