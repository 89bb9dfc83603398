"""How each metric changed between two reports, with a paired interval and a test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftkit.evaluation.metrics import FIELD_PREFIX, Metric, MetricContext, RowMetric, known_metrics
from ftkit.evaluation.scoring import MetricStatistics, cluster_ids, metric_statistics
from ftkit.evaluation.statistics import (
    bca_interval,
    cluster_sums,
    critical_value,
    effective_rows,
    holm,
    mcnemar_exact,
    paired_interval,
    resample,
    sign_flip,
)
from ftkit.evaluation.verdict import Improvement, verdict_of
from ftkit.results.metric_result import Method, MetricChange, MetricResult
from ftkit.results.report import Report
from ftkit.results.report_row import RowResult
from ftkit.results.row_pairing import Pair

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["metric_change", "metric_changes"]


@dataclass(frozen=True)
class _Paired:
    """A metric's statistics on the paired rows."""

    before: MetricStatistics
    after: MetricStatistics
    clusters: NDArray[np.int64]

    @property
    def by_row(self) -> bool:
        """Whether each row has a difference of its own."""
        same = bool((self.before.counted == self.after.counted).all())
        return self.before.is_ratio and self.after.is_ratio and same

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


def metric_changes(
    before: Report, after: Report, pairs: Sequence[Pair], *, confidence: float, seed: int
) -> tuple[MetricChange, ...]:
    """Compute the change of every metric that two reports share.

    Args:
        before: the first report.
        after: the second report.
        pairs: their rows, paired.
        confidence: confidence level of the intervals.
        seed: seed of the bootstrap and of the sign flips.

    Returns:
        One change for each shared metric, in the order of ``before``.
    """
    import numpy as np

    shared = [metric for metric in before.metrics if any(metric.name == other.name for other in after.metrics)]
    known = known_metrics(MetricContext(before.output, before.rows, before.comparators))
    clusters = cluster_ids([pair[0] for pair in pairs])
    paired: dict[str, _Paired] = {}
    for result in shared:
        metric = _metric(result, pairs, known)
        if metric is not None:
            counted = _counted(metric, pairs)
            _, own = np.unique(clusters[counted], return_inverse=True)
            if len(own):
                rows = [pairs[index] for index in counted]
                first, second = (metric_statistics(metric, [pair[side] for pair in rows], own) for side in (0, 1))
                paired[result.name] = _Paired(first, second, own)
    samples = _bootstrap(paired, seed)
    changes = []
    for result in shared:
        statistics = paired.get(result.name)
        if statistics is None:
            changes.append(_unpaired(result, after[result.name]))
        else:
            changes.append(_change(result, statistics, samples.get(result.name), confidence, seed))
    return _with_verdicts(changes, confidence)


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
        seed: seed of the bootstrap and of the sign flips.

    Returns:
        The change with its verdict, without a margin.
    """
    paired = _Paired(before, after, clusters)
    change = _change(metric, paired, _bootstrap({metric.name: paired}, seed).get(metric.name), confidence, seed)
    return _with_verdicts([change], confidence)[0]


def _bootstrap(paired: dict[str, _Paired], seed: int) -> dict[str, NDArray[np.float64]]:
    """Bootstrap samples of the change of each metric that is not binary."""
    # The same clusters are drawn on both sides: that is the pairing. Metrics that count the same rows share the draws.
    import numpy as np

    samples: dict[str, NDArray[np.float64]] = {}
    by_size: dict[int, list[str]] = {}
    for name, statistics in paired.items():
        if not statistics.is_binary:
            by_size.setdefault(len(statistics.before.by_cluster), []).append(name)
    for names in by_size.values():
        blocks = [side.by_cluster for name in names for side in (paired[name].before, paired[name].after)]
        edges = np.cumsum([block.shape[1] for block in blocks])[:-1]
        parts = np.split(resample(np.concatenate(blocks, axis=1), seed=seed), edges, axis=1)
        for index, name in enumerate(names):
            compute = paired[name].before.metric.compute
            samples[name] = compute(parts[2 * index + 1]) - compute(parts[2 * index])
    return samples


def _change(
    metric: MetricResult | Metric,
    paired: _Paired,
    samples: NDArray[np.float64] | None,
    confidence: float,
    seed: int,
) -> MetricChange:
    before, after = paired.before.value, paired.after.value
    difference = None if before is None or after is None else after - before
    low, high, method = _interval(paired, difference, samples, confidence)
    p_value, variance = None, None
    if paired.by_row and difference is not None:
        p_value = _p_value(paired, seed)
        variance = _row_variance(paired)
    return MetricChange(
        name=metric.name,
        description=metric.description,
        unit=metric.unit,
        higher_is_better=metric.higher_is_better,
        before=before,
        after=after,
        difference=difference,
        low=low,
        high=high,
        method=method,
        n=int((paired.before.counted | paired.after.counted).sum()),
        p_value=p_value,
        p_adjusted=None,
        row_variance=variance,
        verdict="inconclusive",
    )


def _interval(
    paired: _Paired, difference: float | None, samples: NDArray[np.float64] | None, confidence: float
) -> tuple[float | None, float | None, Method]:
    import numpy as np

    if difference is None:
        return None, None, "none"
    own = paired.counted_clusters if paired.by_row else paired.clusters
    groups = int(own.max()) + 1
    clustered = groups < len(own)
    critical = critical_value(confidence, groups if clustered else None)
    method: Method = "score-clustered" if clustered else "score"
    if samples is None:
        differences = paired.differences
        rows = effective_rows(differences, own)
        fixed, regressed = float((differences > 0).mean()), float((differences < 0).mean())
        return *paired_interval(fixed * rows, regressed * rows, rows, critical), method
    if np.isfinite(samples).any() and float(np.nanmax(samples) - np.nanmin(samples)) > 1e-12:
        leave_one_out = paired.after.leave_one_out() - paired.before.leave_one_out()
        return *bca_interval(difference, samples, leave_one_out, confidence), "bootstrap"
    if paired.before.metric.unit == "rate":  # no spread at all: each group counts as one row
        up, down = max(difference, 0.0) * groups, max(-difference, 0.0) * groups
        return *paired_interval(up, down, groups, critical), method
    return None, None, "none"


def _p_value(paired: _Paired, seed: int) -> float:
    differences = paired.differences
    clusters = paired.counted_clusters
    if paired.is_binary and int(clusters.max()) + 1 == len(clusters):
        return mcnemar_exact(int((differences > 0).sum()), int((differences < 0).sum()))
    return sign_flip(cluster_sums(differences[:, None], clusters)[:, 0], seed=seed)


def _row_variance(paired: _Paired) -> float:
    """Variance of one row's difference, times the design effect."""
    # For binary metrics half a row is added on either side, so that observing no change does not prove that nothing
    # ever changes.
    differences = paired.differences
    rows = len(differences)
    variance = float(differences.var())
    if paired.is_binary:
        up, down = (float((differences > 0).sum()) + 0.5, float((differences < 0).sum()) + 0.5)
        variance = (up + down) / (rows + 1) - ((up - down) / (rows + 1)) ** 2
    return variance * rows / effective_rows(differences, paired.counted_clusters)


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
        n=min(before.n, after.n),
        p_value=None,
        p_adjusted=None,
        row_variance=None,
        verdict="inconclusive",
    )


def _with_verdicts(changes: Sequence[MetricChange], confidence: float) -> tuple[MetricChange, ...]:
    """The changes with Holm's adjustment over the fields, and each with a verdict of its own."""
    fields = [change for change in changes if change.name.startswith(FIELD_PREFIX) and change.p_value is not None]
    p_values = holm([change.p_value for change in fields if change.p_value is not None])
    adjusted = {change.name: p_value for change, p_value in zip(fields, p_values, strict=True)}
    return tuple(_with_verdict(change, adjusted.get(change.name), confidence) for change in changes)


def _with_verdict(change: MetricChange, adjusted: float | None, confidence: float) -> MetricChange:
    improvement = Improvement.of_change(change, change.p_value if adjusted is None else adjusted)
    if improvement is None:
        return change
    verdict = verdict_of(improvement, margin=None, confidence=confidence)
    return change.model_copy(update={"p_adjusted": adjusted, "verdict": verdict})
