"""How each metric changed between two reports, with a paired interval and a test."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING

from ftkit.evaluation.metric_interval import Interval, PairedStatistics, change_interval
from ftkit.evaluation.metric_statistics import MetricStatistics, cluster_ids, metric_statistics
from ftkit.evaluation.metrics import Metric, MetricContext, RowMetric, known_metrics
from ftkit.evaluation.statistics import cluster_sums, critical_value, effective_rows, holm, mcnemar_exact, sign_flip
from ftkit.evaluation.verdict import Improvement, verdict_of
from ftkit.results.metric_result import MetricChange, MetricResult
from ftkit.results.report import Report
from ftkit.results.report_row import RowResult
from ftkit.results.row_pairing import Pair

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["metric_change", "metric_changes", "paired_change", "paired_statistics"]


def metric_changes(
    before: Report, after: Report, pairs: Sequence[Pair], *, primary: str, confidence: float, seed: int
) -> tuple[MetricChange, ...]:
    """Compute the change of every metric that two reports share.

    Args:
        before: the first report.
        after: the second report.
        pairs: their rows, paired.
        primary: the headline metric, which was chosen beforehand. The verdicts of all others are one family of tests.
        confidence: confidence level of the intervals.
        seed: seed of the sign flips.

    Returns:
        One change for each shared metric, in the order of ``before``.
    """
    shared = [metric for metric in before.metrics if any(metric.name == other.name for other in after.metrics)]
    paired = paired_statistics(before, pairs, [metric.name for metric in shared])
    changes = []
    for result in shared:
        statistics = paired.get(result.name)
        if statistics is None:
            changes.append(_unpaired(result, after[result.name]))
        else:
            changes.append(paired_change(result, statistics, confidence, seed))
    return _with_verdicts(changes, primary, confidence)


def paired_statistics(before: Report, pairs: Sequence[Pair], names: Sequence[str]) -> dict[str, PairedStatistics]:
    """Collect the statistics of metrics on the rows that count on both sides.

    Args:
        before: the first report.
        pairs: rows of two reports, paired.
        names: names of metrics that both reports have.

    Returns:
        By name; metrics whose rows cannot be paired are left out.
    """
    import numpy as np

    known = known_metrics(MetricContext(before.output, before.rows, before.comparators))
    clusters = cluster_ids([first for first, _ in pairs], [second for _, second in pairs])
    paired: dict[str, PairedStatistics] = {}
    for name in names:
        metric = _metric(before[name], pairs, known)
        counted = [] if metric is None else _counted(metric, pairs)
        if metric is None or not counted:
            continue
        _, own = np.unique(clusters[counted], return_inverse=True)
        own = own.astype(np.int64)
        rows = [pairs[index] for index in counted]
        first, second = (metric_statistics(metric, [pair[side] for pair in rows], own) for side in (0, 1))
        paired[name] = PairedStatistics(first, second, own)
    return paired


def _metric(result: MetricResult, pairs: Sequence[Pair], known: dict[str, Metric]) -> Metric | None:
    """The metric of a result: from the stored scores of the rows, else the registered one of that name."""
    name = result.name
    if all(name in row.scores for pair in pairs for row in pair):
        return RowMetric(
            name=name,
            description=result.description,
            higher_is_better=result.higher_is_better,
            unit=result.unit,
            score=lambda row: row.scores[name],
        )
    return known.get(name)


def _counted(metric: Metric, pairs: Sequence[Pair]) -> list[int]:
    """The rows that count on both sides; all of them for metrics that do not score single rows."""
    if not isinstance(metric, RowMetric):
        return list(range(len(pairs)))

    def counts(row: RowResult) -> bool:
        return row.scores[metric.name] is not None

    return [index for index, (before, after) in enumerate(pairs) if counts(before) and counts(after)]


def metric_change(
    metric: Metric,
    before: MetricStatistics,
    after: MetricStatistics,
    clusters: NDArray[np.int64],
    *,
    confidence: float,
    seed: int,
) -> MetricChange:
    """Compute the change of one metric between statistics of the same rows.

    Args:
        metric: the metric.
        before: its statistics before.
        after: its statistics after, on the same rows in the same order.
        clusters: cluster ids, shape ``[rows]``.
        confidence: confidence level of the interval.
        seed: seed of the sign flips.

    Returns:
        The change with its verdict, without a margin.
    """
    change = paired_change(metric, PairedStatistics(before, after, clusters), confidence, seed)
    return _with_verdicts([change], metric.name, confidence)[0]


def paired_change(
    metric: MetricResult | MetricChange | Metric, paired: PairedStatistics, confidence: float, seed: int
) -> MetricChange:
    """Compute the change of one metric, without a verdict.

    Args:
        metric: the metric, whose name and direction the change has.
        paired: its statistics on the rows of both models.
        confidence: confidence level of the interval.
        seed: seed of the sign flips.

    Returns:
        The change; its verdict is ``"inconclusive"``.
    """
    before, after = paired.before.value, paired.after.value
    difference = None if before is None or after is None else after - before
    interval = change_interval(paired, difference, confidence)
    p_value, variance = None, None
    if difference is not None and paired.by_row:
        p_value = _p_value(paired, seed)
        variance = _row_variance(paired)
    elif difference is not None and interval.low is not None:
        p_value = _p_value_of_interval(difference, interval, confidence)
    return MetricChange(
        name=metric.name,
        description=metric.description,
        unit=metric.unit,
        higher_is_better=metric.higher_is_better,
        before=before,
        after=after,
        difference=difference,
        low=interval.low,
        high=interval.high,
        method=interval.method,
        reason=interval.reason,
        n=int((paired.before.counted | paired.after.counted).sum()),
        p_value=p_value,
        p_adjusted=None,
        row_variance=variance,
        verdict="inconclusive",
    )


def _p_value(paired: PairedStatistics, seed: int) -> float:
    differences = paired.differences
    if paired.is_binary and paired.independent:
        return mcnemar_exact(int((differences > 0).sum()), int((differences < 0).sum()))
    return sign_flip(cluster_sums(differences[:, None], paired.counted_clusters)[:, 0], seed=seed)


def _p_value_of_interval(difference: float, interval: Interval, confidence: float) -> float:
    """The level at which an interval around the change would end at 0, for metrics without a test of their own."""
    end = interval.low if difference > 0 else interval.high
    if difference == 0 or end is None or end == difference:
        return 1.0
    distance = critical_value(confidence) * abs(difference) / abs(end - difference)
    return 2 * (1 - NormalDist().cdf(distance))


def _row_variance(paired: PairedStatistics) -> float:
    """Variance of one row's difference, times the design effect."""
    differences = paired.differences
    return float(differences.var()) * len(differences) / effective_rows(differences, paired.counted_clusters)


def _unpaired(before: MetricResult, after: MetricResult) -> MetricChange:
    """A metric that cannot be paired: its rows have no scores, and no metric of its name is registered."""
    difference = None if before.value is None or after.value is None else after.value - before.value
    return MetricChange(
        name=before.name,
        description=before.description,
        unit=before.unit,
        higher_is_better=before.higher_is_better,
        before=before.value,
        after=after.value,
        difference=difference,
        low=None,
        high=None,
        method="none",
        reason="its rows have no scores, and no metric of this name is registered",
        n=min(before.n, after.n),
        p_value=None,
        p_adjusted=None,
        row_variance=None,
        verdict="inconclusive",
    )


def _with_verdicts(changes: Sequence[MetricChange], primary: str, confidence: float) -> tuple[MetricChange, ...]:
    """The changes, each with a verdict: of the headline metric by its own p value, of the others by Holm's."""
    others = [change for change in changes if change.name != primary and change.p_value is not None]
    p_values = holm([change.p_value for change in others if change.p_value is not None])
    adjusted = {change.name: p_value for change, p_value in zip(others, p_values, strict=True)}
    return tuple(_with_verdict(change, adjusted.get(change.name), confidence) for change in changes)


def _with_verdict(change: MetricChange, adjusted: float | None, confidence: float) -> MetricChange:
    improvement = Improvement.of_change(change, change.p_value if adjusted is None else adjusted)
    if improvement is None:
        return change
    verdict = verdict_of(improvement, margin=None, confidence=confidence)
    return change.model_copy(update={"p_adjusted": adjusted, "verdict": verdict})
