"""How many rows a verdict needs, by simulating the test that decides it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ftkit.evaluation.statistics.intervals import critical_value
from ftkit.evaluation.statistics.score_interval import ClusteredScores, score_statistic

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["MAX_CLUSTERS", "clusters_needed", "detectable_loss", "loss_power", "power_of", "rows_of"]

MAX_CLUSTERS = 1_000_000
"""Beyond this many clusters no number is named."""

_CELLS = 600_000
_MAX_SAMPLES = 10_000
_MAX_VALUES = 256


def clusters_needed(
    scores: ClusteredScores,
    *,
    limit: float,
    bounds: tuple[float, float] | None,
    confidence: float,
    power: float,
    binary: bool,
    seed: int = 0,
) -> int | None:
    """Estimate how many clusters like these show that the mean change is above a limit.

    Samples of clusters are drawn from the observed ones, and the test that decides the verdict is applied to each.

    Args:
        scores: the observed changes by cluster, positive for better.
        limit: the limit: 0 to show an improvement, minus the margin to show non-inferiority.
        bounds: the smallest and largest possible change of a row; None if there are none.
        confidence: confidence level of the interval.
        power: probability of showing it.
        binary: whether the rows are independent and each is fixed, regressed or unchanged, so that Tango's interval and
            McNemar's test decide.
        seed: seed of the samples.

    Returns:
        Number of clusters; None if no number below :data:`MAX_CLUSTERS` is enough.
    """
    if scores.mean <= limit + 1e-12:
        return None

    def reached(clusters: int) -> bool:
        # The power of an exact test falls a little where one more changed row is needed, so a larger number counts too.
        return all(
            power_of(scores, number, limit=limit, bounds=bounds, confidence=confidence, binary=binary, seed=seed)
            >= power
            for number in (clusters, clusters + max(1, clusters // 20))
        )

    high = 2
    while not reached(high):
        high *= 2
        if high > MAX_CLUSTERS:
            return None
    low = high // 2
    while high - low > max(1, high // 200):
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high


def power_of(
    scores: ClusteredScores,
    clusters: int,
    *,
    limit: float,
    bounds: tuple[float, float] | None,
    confidence: float,
    binary: bool,
    seed: int = 0,
) -> float:
    """Estimate the probability that this many clusters like these show that the mean change is above a limit.

    Args:
        scores: the changes by cluster, positive for better.
        clusters: number of clusters.
        limit: as for :func:`clusters_needed`.
        bounds: as for :func:`clusters_needed`.
        confidence: confidence level of the interval.
        binary: as for :func:`clusters_needed`.
        seed: seed of the samples.

    Returns:
        Share of samples in which the test rejects a mean at the limit.
    """
    import numpy as np

    scores = _coarse(scores)
    generator = np.random.default_rng(seed)
    shares = scores.counts / scores.counts.sum()
    samples = min(_MAX_SAMPLES, _CELLS // len(shares))
    counts = generator.multinomial(clusters, shares, size=samples).astype(np.float64)
    rows = counts @ scores.sizes
    counts = counts[rows > 0]
    freedom = (scores.degrees_of_freedom + 1) * clusters / scores.counts.sum() - 1
    critical = critical_value(confidence, None if binary else freedom)
    tested = np.full(len(counts), limit)
    shown = score_statistic(scores, tested, bounds, counts) > critical
    if limit == 0:
        shown &= _significant(scores, counts, confidence, binary)
    return float(shown.mean())


def _coarse(scores: ClusteredScores) -> ClusteredScores:
    """The same distribution with at most ``_MAX_VALUES`` different clusters, each the mean of neighbours."""
    import numpy as np

    if len(scores.sums) <= _MAX_VALUES:
        return scores
    order = np.argsort(scores.sums / scores.sizes, kind="stable")
    bins = np.minimum((np.arange(len(order)) * _MAX_VALUES) // len(order), _MAX_VALUES - 1)
    counts = np.bincount(bins, weights=scores.counts[order]).astype(np.float64)
    sums = np.bincount(bins, weights=(scores.counts * scores.sums)[order]) / counts
    sizes = np.bincount(bins, weights=(scores.counts * scores.sizes)[order]) / counts
    return ClusteredScores(sums, sizes, counts, scores.degrees_of_freedom, scores.atom_size)


def _significant(
    scores: ClusteredScores, counts: NDArray[np.float64], confidence: float, binary: bool
) -> NDArray[np.bool_]:
    """Whether the test of no change rejects in each sample."""
    fixed = counts @ (scores.sums > 1e-12)
    regressed = counts @ (scores.sums < -1e-12)
    if not binary:
        # A two-sided test by signs of k clusters has no p value below 2 * 2**-k: six clusters at 5 %, eight at 1 %.
        enough: NDArray[np.bool_] = 2.0 ** (1 - fixed - regressed) <= 1 - confidence
        return enough
    from scipy.stats import binom

    changed = fixed + regressed
    p_values = 2 * binom.cdf(regressed.clip(max=fixed), changed, 0.5)
    rejected: NDArray[np.bool_] = p_values <= 1 - confidence
    return rejected


def detectable_loss(rows: int, gained: float, *, power: float, confidence: float) -> float | None:
    """Compute the smallest loss of a rate that McNemar's exact test shows with a given power.

    Args:
        rows: number of independent rows that both models answer.
        gained: share of the rows that are wrong before and right after.
        power: probability of showing the loss.
        confidence: one minus the level of the two-sided test.

    Returns:
        The loss as a share of the rows; None if not even the loss of all of them is shown.
    """
    low, high = 0.0, 1.0 - gained
    if loss_power(rows, high, gained, confidence=confidence) < power:
        return None
    while high - low > 0.001:
        middle = (low + high) / 2
        shown = loss_power(rows, middle, gained, confidence=confidence) >= power
        low, high = (low, middle) if shown else (middle, high)
    return high


def loss_power(rows: int, loss: float, gained: float, *, confidence: float) -> float:
    """Compute the probability that McNemar's exact test shows a loss of a rate.

    Args:
        rows: number of independent rows.
        loss: the true loss, as a share of the rows.
        gained: share of the rows that are wrong before and right after; ``loss + gained`` are right before and wrong
            after.
        confidence: one minus the level of the two-sided test.

    Returns:
        The probability.
    """
    import numpy as np
    from scipy.stats import binom

    regressed, changed_share = loss + gained, min(loss + 2 * gained, 1.0)
    if changed_share <= 0:
        return 0.0
    changed = np.arange(1, rows + 1)
    # The largest number of gains among the changed rows with which the test still rejects; -1 if there is none.
    most = binom.ppf((1 - confidence) / 2, changed, 0.5)
    most = np.where(2 * binom.cdf(most, changed, 0.5) > 1 - confidence, most - 1, most)
    rejected = binom.cdf(most, changed, 1 - regressed / changed_share)
    return float((binom.pmf(changed, rows, changed_share) * rejected).sum())


def rows_of(clusters: int, scores: ClusteredScores) -> int:
    """Turn a number of clusters into a number of rows.

    Args:
        clusters: number of clusters.
        scores: the observed clusters, which have the same mean size.

    Returns:
        Number of rows.
    """
    return math.ceil(clusters * float((scores.counts * scores.sizes).sum() / scores.counts.sum()) - 1e-9)
