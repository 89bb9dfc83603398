"""How each metric changed between two reports, with a paired interval and a test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftkit.evaluation.metrics import FIELD_PREFIX, Metric, RowMetric, default_metrics
from ftkit.evaluation.scoring import Tallied, clusters_of, tallied
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
from ftkit.evaluation.verdict import Gain, verdict_of
from ftkit.results.metric_result import Method, MetricChange, MetricResult
from ftkit.results.report import Report
from ftkit.results.report_row import RowResult
from ftkit.results.row_pairing import Pair

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["change_of", "changes"]


@dataclass(frozen=True)
class _Paired:
    """A metric's tallies on the paired rows."""

    before: Tallied
    after: Tallied
    clusters: NDArray[np.int64]

    @property
    def by_row(self) -> bool:
        """Whether each row has a difference of its own."""
        same = bool((self.before.counted == self.after.counted).all())
        return self.before.is_ratio and self.after.is_ratio and same

    @property
    def own_clusters(self) -> NDArray[np.int64]:
        """The clusters of the rows that have a difference, numbered from 0."""
        import numpy as np

        _, own = np.unique(self.clusters[self.before.counted], return_inverse=True)
        return own.astype(np.int64)

    @property
    def differences(self) -> NDArray[np.float64]:
        counted = self.before.counted
        found: NDArray[np.float64] = self.after.tallies[counted, 0] - self.before.tallies[counted, 0]
        return found

    @property
    def right_or_wrong(self) -> bool:
        return self.by_row and self.before.is_right_or_wrong and self.after.is_right_or_wrong


def changes(
    before: Report, after: Report, pairs: Sequence[Pair], *, confidence: float, seed: int
) -> tuple[MetricChange, ...]:
    """The change of every metric that both reports have, in the order of ``before``."""
    import numpy as np

    shared = [metric for metric in before.metrics if any(metric.name == other.name for other in after.metrics)]
    known = {metric.name: metric for metric in default_metrics(before.output, before.rows, before.comparators)}
    clusters = clusters_of([pair[0] for pair in pairs])
    paired: dict[str, _Paired] = {}
    for result in shared:
        metric = _metric(result, pairs, known)
        if metric is not None:
            kept = _kept(metric, pairs)
            _, own = np.unique(clusters[kept], return_inverse=True)
            if len(own):
                rows = [pairs[index] for index in kept]
                one, two = (tallied(metric, [pair[side] for pair in rows], own) for side in (0, 1))
                paired[result.name] = _Paired(one, two, own)
    drawn = _drawn(paired, seed)
    found = []
    for result in shared:
        item = paired.get(result.name)
        if item is None:
            found.append(_unpaired(result, after[result.name]))
        else:
            found.append(_change(result, item, drawn.get(result.name), confidence, seed))
    return _judged(found, confidence)


def _metric(result: MetricResult, pairs: Sequence[Pair], known: dict[str, Metric]) -> Metric | None:
    """The metric again: from the stored scores of the rows, else the built-in one of that name."""
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


def _kept(metric: Metric, pairs: Sequence[Pair]) -> list[int]:
    """The rows that count on both sides; all of them for metrics that are not about single rows."""
    if not isinstance(metric, RowMetric):
        return list(range(len(pairs)))

    def counts(row: RowResult) -> bool:
        return row.scores[metric.name] is not None

    return [index for index, (one, two) in enumerate(pairs) if counts(one) and counts(two)]


def change_of(
    metric: Metric, sides: tuple[Tallied, Tallied], clusters: NDArray[np.int64], *, confidence: float, seed: int
) -> MetricChange:
    """The change of one metric between tallies of the same rows, with its own verdict (no margin)."""
    item = _Paired(*sides, clusters)
    change = _change(metric, item, _drawn({metric.name: item}, seed).get(metric.name), confidence, seed)
    return _judged([change], confidence)[0]


def _drawn(paired: dict[str, _Paired], seed: int) -> dict[str, NDArray[np.float64]]:
    """Bootstrapped changes of the metrics that are not right/wrong. Both sides are drawn alike: that is the pairing.

    Metrics are drawn together while they count the same rows.
    """
    import numpy as np

    found: dict[str, NDArray[np.float64]] = {}
    together: dict[int, list[str]] = {}
    for name, item in paired.items():
        if not item.right_or_wrong:
            together.setdefault(len(item.before.sums), []).append(name)
    for names in together.values():
        blocks = [side.sums for name in names for side in (paired[name].before, paired[name].after)]
        edges = np.cumsum([block.shape[1] for block in blocks])[:-1]
        parts = np.split(resample(np.concatenate(blocks, axis=1), seed=seed), edges, axis=1)
        for index, name in enumerate(names):
            combine = paired[name].before.metric.combine
            found[name] = combine(parts[2 * index + 1]) - combine(parts[2 * index])
    return found


def _change(
    result: MetricResult | Metric, item: _Paired, drawn: NDArray[np.float64] | None, confidence: float, seed: int
) -> MetricChange:
    before, after = item.before.value, item.after.value
    difference = None if before is None or after is None else after - before
    low, high, method = _interval(item, difference, drawn, confidence)
    p_value, variance = None, None
    if item.by_row and difference is not None:
        p_value = _p_value(item, seed)
        variance = _row_variance(item)
    return MetricChange(
        name=result.name,
        description=result.description,
        unit=result.unit,
        higher_is_better=result.higher_is_better,
        before=before,
        after=after,
        difference=difference,
        low=low,
        high=high,
        method=method,
        n=int((item.before.counted | item.after.counted).sum()),
        p_value=p_value,
        p_adjusted=None,
        row_variance=variance,
        verdict="inconclusive",
    )


def _interval(
    item: _Paired, difference: float | None, drawn: NDArray[np.float64] | None, confidence: float
) -> tuple[float | None, float | None, Method]:
    import numpy as np

    if difference is None:
        return None, None, "none"
    own = item.own_clusters if item.by_row else item.clusters
    groups = int(own.max()) + 1
    clustered = groups < len(own)
    critical = critical_value(confidence, groups if clustered else None)
    method: Method = "score-clustered" if clustered else "score"
    if drawn is None:
        moved = item.differences
        rows = effective_rows(moved, own)
        fixed, regressed = float((moved > 0).mean()), float((moved < 0).mean())
        return *paired_interval(fixed * rows, regressed * rows, rows, critical), method
    if np.isfinite(drawn).any() and float(np.nanmax(drawn) - np.nanmin(drawn)) > 1e-12:
        left_out = item.after.left_out() - item.before.left_out()
        return *bca_interval(difference, drawn, left_out, confidence), "bootstrap"
    if item.before.metric.unit == "rate":  # no spread at all: each group counts as one row
        up, down = max(difference, 0.0) * groups, max(-difference, 0.0) * groups
        return *paired_interval(up, down, groups, critical), method
    return None, None, "none"


def _p_value(item: _Paired, seed: int) -> float:
    moved = item.differences
    clusters = item.own_clusters
    if item.right_or_wrong and int(clusters.max()) + 1 == len(clusters):
        return mcnemar_exact(int((moved > 0).sum()), int((moved < 0).sum()))
    return sign_flip(cluster_sums(moved[:, None], clusters)[:, 0], seed=seed)


def _row_variance(item: _Paired) -> float:
    """One row's variance; for right/wrong with one row more on either side, so that no change is not taken for proof
    that nothing ever changes."""
    moved = item.differences
    rows = len(moved)
    variance = float(moved.var())
    if item.right_or_wrong:
        up, down = (float((moved > 0).sum()) + 0.5, float((moved < 0).sum()) + 0.5)
        variance = (up + down) / (rows + 1) - ((up - down) / (rows + 1)) ** 2
    return variance * rows / effective_rows(moved, item.own_clusters)


def _unpaired(before: MetricResult, after: MetricResult) -> MetricChange:
    """A metric that cannot be paired: its rows have no scores, and it is none of the built-in ones."""
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


def _judged(found: Sequence[MetricChange], confidence: float) -> tuple[MetricChange, ...]:
    """The changes with Holm's adjustment over the fields, and each with its own verdict."""
    fields = [item for item in found if item.name.startswith(FIELD_PREFIX) and item.p_value is not None]
    p_values = holm([item.p_value for item in fields if item.p_value is not None])
    adjusted = {item.name: p_value for item, p_value in zip(fields, p_values, strict=True)}
    return tuple(_with_verdict(item, adjusted.get(item.name), confidence) for item in found)


def _with_verdict(item: MetricChange, adjusted: float | None, confidence: float) -> MetricChange:
    gain = Gain.of_change(item, item.p_value if adjusted is None else adjusted)
    if gain is None:
        return item
    verdict = verdict_of(gain, margin=None, confidence=confidence)
    return item.model_copy(update={"p_adjusted": adjusted, "verdict": verdict})
