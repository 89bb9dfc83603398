"""Intervals of a metric's value on one model's rows, and of its change between two models.

Four methods, by what the metric is:

- a proportion of independent rows: Wilson's interval or the exact one, and Tango's for its change;
- another mean or ratio, or rows in groups: the score interval over clusters (see ``statistics/score_interval.py``);
- a sum of ratios, or the change of a ratio that counts other rows on each side: MOVER (see ``statistics/mover.py``);
- any other function of sums: the jackknife over clusters with Student's t.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftkit.evaluation.metric_statistics import MetricStatistics
from ftkit.evaluation.metrics import Metric, Ratio
from ftkit.evaluation.statistics import (
    ClusteredScores,
    Estimate,
    clustered_scores,
    critical_value,
    mover_interval,
    paired_interval,
    rate_interval,
    score_interval,
)
from ftkit.results.metric_result import Method

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Interval", "PairedStatistics", "change_interval", "value_interval"]


@dataclass(frozen=True)
class Interval:
    """An interval, or the reason why there is none.

    Attributes:
        low: lower end; None if there is no interval.
        high: upper end; None if there is no interval.
        method: how it was computed.
        reason: why there is none; empty if there is one.
    """

    low: float | None
    high: float | None
    method: Method
    reason: str = ""


_UNDEFINED = "no row counts"
_NO_SPREAD = "all rows score the same, and the metric has no bounds"


@dataclass(frozen=True)
class PairedStatistics:
    """A metric's statistics of two models on the same rows.

    Attributes:
        before: of the first model.
        after: of the second model.
        clusters: cluster ids of the rows, from 0, shape ``[rows]``.
    """

    before: MetricStatistics
    after: MetricStatistics
    clusters: NDArray[np.int64]

    @property
    def by_row(self) -> bool:
        """Whether each row has a difference of its own, because both sides count it with the same weight."""
        if not (self.before.is_ratio and self.after.is_ratio):
            return False
        return bool((self.before.by_row[:, 1] == self.after.by_row[:, 1]).all()) and not self.before.transformed

    @property
    def counted_clusters(self) -> NDArray[np.int64]:
        """The clusters of the rows that have a difference, numbered from 0."""
        import numpy as np

        _, own = np.unique(self.clusters[self.before.counted], return_inverse=True)
        return own.astype(np.int64)

    @property
    def differences(self) -> NDArray[np.float64]:
        """After minus before for each counted row."""
        counted = self.before.counted
        differences: NDArray[np.float64] = self.after.by_row[counted, 0] - self.before.by_row[counted, 0]
        return differences

    @property
    def is_binary(self) -> bool:
        """Whether each row is right or wrong on both sides."""
        return self.by_row and self.before.is_binary and self.after.is_binary

    @property
    def independent(self) -> bool:
        """Whether each counted row is a cluster of its own."""
        own = self.counted_clusters
        return len(own) == 0 or int(own.max()) + 1 == len(own)

    @property
    def scores(self) -> ClusteredScores:
        """The rows' differences by cluster."""
        counted = self.before.counted
        return clustered_scores(self.differences, self.before.by_row[counted, 1], self.counted_clusters)

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The smallest and largest possible difference of a row."""
        return (-1.0, 1.0) if self.before.metric.unit == "rate" else None


def value_interval(statistics: MetricStatistics, clusters: NDArray[np.int64], confidence: float) -> Interval:
    """Compute the interval of a metric's value.

    Args:
        statistics: the metric's statistics.
        clusters: cluster ids, shape ``[rows]``.
        confidence: confidence level, e.g. 0.95.

    Returns:
        The interval.
    """
    import numpy as np

    metric, sums = statistics.metric, statistics.by_cluster.sum(axis=0)
    value = statistics.value
    if value is None:
        return Interval(None, None, "none", _UNDEFINED)
    if reason := metric.no_interval(sums):
        return Interval(None, None, "none", reason)
    ratios = metric.ratios(sums)
    if not ratios:
        return _jackknife(metric, value, statistics.leave_one_out(), statistics.by_cluster, confidence)
    estimates = [_estimate(statistics, ratio, clusters, confidence) for ratio in ratios]
    if len(estimates) > 1:
        return Interval(*_clip(metric, *mover_interval(estimates)), "mover")
    counted = clusters[statistics.by_row[:, ratios[0].denominator] > 0]
    clustered = len(np.unique(counted)) < len(counted)
    (only,) = estimates
    if metric.unit != "rate" and only.low == only.high:
        return Interval(None, None, "none", _NO_SPREAD)
    if statistics.is_binary and not clustered:
        return Interval(only.low, only.high, "wilson")
    return Interval(only.low, only.high, "score-clustered" if clustered else "score")


def change_interval(paired: PairedStatistics, difference: float | None, confidence: float) -> Interval:
    """Compute the interval of a metric's change between two models.

    Args:
        paired: the statistics of both.
        difference: the change; None if one side has no value.
        confidence: confidence level, e.g. 0.95.

    Returns:
        The interval.
    """
    metric = paired.before.metric
    if difference is None:
        return Interval(None, None, "none", _UNDEFINED)
    totals = [side.by_cluster.sum(axis=0) for side in (paired.before, paired.after)]
    for sums in totals:
        if reason := metric.no_interval(sums):
            return Interval(None, None, "none", reason)
    if paired.by_row:
        return _row_change(paired, confidence)
    before, after = (metric.ratios(sums) for sums in totals)
    if not before or not after:
        table = paired.after.by_cluster + paired.before.by_cluster
        left_out = paired.after.leave_one_out() - paired.before.leave_one_out()
        return _jackknife(metric, difference, left_out, table, confidence, lowest=-1.0)
    estimates = [_estimate(paired.after, ratio, paired.clusters, confidence) for ratio in after]
    estimates += [_estimate(paired.before, ratio, paired.clusters, confidence, sign=-1) for ratio in before]
    return Interval(*_clip(metric, *mover_interval(estimates), lowest=-1.0), "mover")


def _row_change(paired: PairedStatistics, confidence: float) -> Interval:
    differences = paired.differences
    if paired.is_binary and paired.independent:
        fixed, regressed = int((differences > 0).sum()), int((differences < 0).sum())
        return Interval(*paired_interval(fixed, regressed, len(differences), critical_value(confidence)), "score")
    low, high = score_interval(paired.scores, confidence, paired.bounds)
    if paired.bounds is None and low == high:
        return Interval(None, None, "none", _NO_SPREAD)
    return Interval(low, high, "score" if paired.independent else "score-clustered")


def _estimate(
    statistics: MetricStatistics, ratio: Ratio, clusters: NDArray[np.int64], confidence: float, *, sign: int = 1
) -> Estimate:
    """A ratio with its interval and the influence of each cluster."""
    import numpy as np

    metric = statistics.metric
    numerators, denominators = statistics.by_row[:, ratio.numerator], statistics.by_row[:, ratio.denominator]
    counted = denominators > 0
    binary = metric.unit == "rate" and bool(np.isin(numerators, (0, 1)).all() and np.isin(denominators, (0, 1)).all())
    own = clusters[counted]
    value = float(numerators.sum() / denominators.sum())
    if binary and len(np.unique(own)) == len(own):
        low, high = rate_interval(float(numerators.sum()), float(denominators.sum()), confidence)
    else:
        scores = clustered_scores(numerators[counted], denominators[counted], own)
        low, high = score_interval(scores, confidence, (0.0, 1.0) if metric.unit == "rate" else None)
    residuals = statistics.by_cluster[:, ratio.numerator] - value * statistics.by_cluster[:, ratio.denominator]
    value, low, high = (float(ratio.transform(np.asarray(end))) for end in (value, low, high))
    return Estimate(value, low, high, sign * ratio.weight, residuals)


def _jackknife(
    metric: Metric,
    value: float,
    left_out: NDArray[np.float64],
    table: NDArray[np.float64],
    confidence: float,
    *,
    lowest: float = 0.0,
) -> Interval:
    """Student's t interval with the jackknife's standard error (Efron and Stein 1981, Annals of Statistics 9:586)."""
    import numpy as np

    counted = table.any(axis=1) & np.isfinite(left_out)
    groups = int(counted.sum())
    if groups < 2:
        return Interval(None, None, "none", "there are fewer than two groups of rows")
    moved = left_out[counted]
    spread = float(np.sqrt((groups - 1) / groups * ((moved - moved.mean()) ** 2).sum()))
    if spread < 1e-12:
        return Interval(None, None, "none", "leaving out any group of rows does not change the value")
    half = critical_value(confidence, groups - 1) * spread
    return Interval(*_clip(metric, value - half, value + half, lowest=lowest), "jackknife")


def _clip(metric: Metric, low: float, high: float, *, lowest: float = 0.0) -> tuple[float, float]:
    return (max(lowest, low), min(1.0, high)) if metric.unit == "rate" else (low, high)
