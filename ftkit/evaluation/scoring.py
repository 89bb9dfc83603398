"""From scored rows to metrics with their intervals."""

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

__all__ = ["Tallied", "clusters_of", "measure", "score_rows", "tallied"]


@dataclass(frozen=True)
class Tallied:
    """A metric's tallies over all rows, and what they make."""

    metric: Metric
    tallies: NDArray[np.float64]
    """Shape (rows, k)."""
    sums: NDArray[np.float64]
    """By cluster, shape (clusters, k)."""

    @property
    def value(self) -> float | None:
        number = float(self.metric.combine(self.sums.sum(axis=0)))
        return None if number != number else number

    @property
    def counted(self) -> NDArray[np.bool_]:
        """Which rows add to the metric's denominator."""
        whole = self.tallies[:, -1] if self.is_ratio else self.tallies.any(axis=1)
        return whole.astype(bool)

    @property
    def is_ratio(self) -> bool:
        return isinstance(self.metric, RatioMetric)

    @property
    def is_right_or_wrong(self) -> bool:
        """Whether each row adds 0 or 1 of 1 (or nothing), so that the metric is a share of rows."""
        return self.is_ratio and self.metric.unit == "rate" and bool(((self.tallies == 0) | (self.tallies == 1)).all())

    def left_out(self) -> NDArray[np.float64]:
        """The metric without each cluster in turn."""
        return self.metric.combine(self.sums.sum(axis=0) - self.sums)


def clusters_of(rows: Sequence[RowResult]) -> NDArray[np.int64]:
    """Each row's cluster, numbered from 0: rows of the same group share one, a row without group has its own."""
    import numpy as np

    numbers: dict[object, int] = {}
    keys = ((row.group, None) if row.group is not None else (None, index) for index, row in enumerate(rows))
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)


def score_rows(rows: Sequence[RowResult], metrics: Sequence[Metric]) -> tuple[RowResult, ...]:
    """The rows with the scores of those metrics that score single rows; of several answers to a row, their mean."""
    single = [metric for metric in metrics if isinstance(metric, RowMetric)]
    bare = [row.model_copy(update={"scores": {}, "failures": {}, "others": ()}) for row in rows]
    own = {metric.name: metric.scores(bare) for metric in single}
    first = [{name: scores[index] for name, scores in own.items()} for index in range(len(rows))]
    why = {metric.name: metric.failures(bare) for metric in single}
    bare = [
        row.model_copy(update={"failures": {name: each[index] for name, each in why.items() if each[index]}})
        for index, row in enumerate(bare)
    ]
    if not any(row.others for row in rows):
        return tuple(row.model_copy(update={"scores": scores}) for row, scores in zip(bare, first, strict=True))
    others = iter(score_rows([other for row in rows for other in row.others], metrics))
    found = []
    for row, alone, scores in zip(rows, bare, first, strict=True):
        mine = tuple(next(others) for _ in row.others)
        mean = {name: _mean([score, *(other.scores[name] for other in mine)]) for name, score in scores.items()}
        found.append(alone.model_copy(update={"scores": mean, "others": mine}))
    return tuple(found)


def _mean(scores: Sequence[float | None]) -> float | None:
    counted = [score for score in scores if score is not None]
    return sum(counted) / len(counted) if counted else None


def tallied(metric: Metric, rows: Sequence[RowResult], clusters: NDArray[np.int64]) -> Tallied:
    """Tally ``metric`` over ``rows``; the answers to one row are averaged first, so that each row weighs the same."""
    import numpy as np

    if isinstance(metric, RowMetric):
        each = [metric.tally(row) for row in rows]
    else:
        each = [tuple(np.mean([metric.tally(answer) for answer in row.answers], axis=0)) for row in rows]
    tallies = np.array(each, dtype=np.float64)
    return Tallied(metric, tallies, cluster_sums(tallies, clusters))


def measure(
    rows: Sequence[RowResult], metrics: Sequence[Metric], *, confidence: float, seed: int
) -> tuple[MetricResult, ...]:
    """Every metric over ``rows`` with its interval.

    Shares of rows get Wilson's score interval, with the effective number of rows when groups repeat; all else the BCa
    bootstrap over groups. A rate without any spread, where the bootstrap has no width, gets Wilson's interval too,
    each group counted as one row.
    """
    import numpy as np

    clusters = clusters_of(rows)
    found = [tallied(metric, rows, clusters) for metric in metrics]
    drawn_for = [item for item in found if not item.is_right_or_wrong and item.value is not None]
    drawn: dict[str, NDArray[np.float64]] = {}
    if drawn_for:
        totals = resample(np.concatenate([item.sums for item in drawn_for], axis=1), seed=seed)
        edges = np.cumsum([item.sums.shape[1] for item in drawn_for])[:-1]
        for item, part in zip(drawn_for, np.split(totals, edges, axis=1), strict=True):
            drawn[item.metric.name] = item.metric.combine(part)
    return tuple(_result(item, clusters, drawn.get(item.metric.name), confidence) for item in found)


def _result(
    item: Tallied, clusters: NDArray[np.int64], drawn: NDArray[np.float64] | None, confidence: float
) -> MetricResult:
    value, metric = item.value, item.metric
    low, high, method = _interval(item, clusters, drawn, confidence)
    return MetricResult(
        name=metric.name,
        description=metric.description,
        value=value,
        low=low,
        high=high,
        n=int(item.counted.sum()),
        method=method,
        unit=metric.unit,
        higher_is_better=metric.higher_is_better,
    )


def _interval(
    item: Tallied, clusters: NDArray[np.int64], drawn: NDArray[np.float64] | None, confidence: float
) -> tuple[float | None, float | None, Method]:
    import numpy as np

    value = item.value
    if value is None:
        return None, None, "none"
    counted = item.counted
    _, own = np.unique(clusters[counted], return_inverse=True)
    groups = int(own.max()) + 1
    clustered = groups < len(own)
    critical = critical_value(confidence, groups if clustered else None)
    if drawn is None:
        rows = effective_rows(item.tallies[counted, 0], own)
        return *wilson_interval(value * rows, rows, critical), "wilson-clustered" if clustered else "wilson"
    if float(np.nanmax(drawn) - np.nanmin(drawn)) > 1e-12:
        return *bca_interval(value, drawn, item.left_out(), confidence), "bootstrap"
    if item.metric.unit == "rate":
        return *wilson_interval(value * groups, groups, critical), "wilson-clustered" if clustered else "wilson"
    return None, None, "none"
