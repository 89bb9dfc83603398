"""Score intervals for means of bounded scores, with rows in clusters of any size.

Wilson's interval for a rate and Tango's for the change of a rate contain the values that a score test does not
reject. The variance of the test is computed under the tested value, from the most likely distribution that has it, so
the interval has a width where every row is right. :func:`score_interval` does the same for scores of any kind. The most
likely distribution is the empirical likelihood's (Owen 1988, Biometrika 75:237-249), which may also put probability on
the bounds of the score, even if no row was seen there. For right/wrong scores of independent rows the results are
Wilson's and Tango's.

Rows in clusters are compared by the sums of their clusters, corrected for leverage (CR2, Bell and McCaffrey 2002), and
with Student's t at the degrees of freedom that clusters of unequal size leave (Satterthwaite 1946).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftkit.evaluation.statistics.intervals import critical_value

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["ClusteredScores", "clustered_scores", "score_interval", "score_statistic"]


_RARE = 15
"""Clusters that score otherwise than the rest, up to which the bounds of the score count fully."""

_ALIKE = 0.1
"""Scores that differ by no more count as the same: small noise says nothing of how far an answer may fall."""

_NEWTON_STEPS = 16


@dataclass(frozen=True)
class ClusteredScores:
    """Sums of scores by cluster, equal clusters counted once.

    Attributes:
        sums: sum of the scores of a cluster, shape ``[k]``.
        sizes: rows of a cluster (or the sum of a ratio's denominators), shape ``[k]``.
        counts: how many clusters have this sum and size, shape ``[k]``.
        degrees_of_freedom: degrees of freedom of the variance between clusters.
        atom_size: rows of a cluster that was not seen, for the most likely distribution.
    """

    sums: NDArray[np.float64]
    sizes: NDArray[np.float64]
    counts: NDArray[np.float64]
    degrees_of_freedom: float
    atom_size: float

    @property
    def mean(self) -> float:
        """Mean score of the rows."""
        return float((self.counts * self.sums).sum() / (self.counts * self.sizes).sum())

    def unseen(
        self, values: NDArray[np.float64], bounds: tuple[float, float], clusters: float | None = None
    ) -> NDArray[np.float64]:
        """Return by how much a cluster that was not seen may differ from tested means.

        Where all clusters score about the same but for fifteen or fewer, such a cluster may be at the bound of the
        score. A rare answer may be wholly wrong although none was seen. With ``k`` clusters that score otherwise, one
        beyond all of them has a probability of about 1/k, so the distance from the most extreme one to the bound is
        multiplied by ``15/k``.

        Args:
            values: tested means, shape ``[v]``.
            bounds: the smallest and largest possible score of a row.
            clusters: number of clusters of a sample from these ones; None: as many as these.

        Returns:
            The sum of a cluster minus what the tested mean expects, for the lower and the upper bound, shape
            ``[v, 2]``.
        """
        import numpy as np

        total = float(self.counts.sum())
        other = (total - self._alike()) * (1.0 if clusters is None else clusters / total)
        share = min(1.0, _RARE / other) if other else 1.0
        mean = self.mean
        excess = self.sums - mean * self.sizes
        ends = []
        for bound, seen in zip(bounds, (float(excess.min()), float(excess.max())), strict=True):
            furthest = self.atom_size * (bound - mean)
            ends.append(seen + (furthest - seen) * share)
        moved = self.atom_size * (values - mean)
        return np.stack([end - moved for end in ends], axis=1)

    def _alike(self) -> float:
        """The largest number of clusters that score about the same."""
        import numpy as np

        ratios = self.sums / self.sizes
        order = np.argsort(ratios, kind="stable")
        ordered, before = ratios[order], np.concatenate([[0.0], np.cumsum(self.counts[order])])
        first = np.searchsorted(ordered, ordered - _ALIKE - 1e-9, side="left")
        last = np.searchsorted(ordered, ordered + _ALIKE + 1e-9, side="right")
        return float((before[last] - before[first]).max())


def clustered_scores(
    numerators: NDArray[np.float64], denominators: NDArray[np.float64], clusters: NDArray[np.int64]
) -> ClusteredScores:
    """Sum scores by cluster.

    Args:
        numerators: scores of the rows, shape ``[rows]``.
        denominators: what each row counts, 1 for means; rows with 0 are left out. Shape ``[rows]``.
        clusters: cluster ids, shape ``[rows]``.

    Returns:
        The sums.
    """
    import numpy as np

    counted = denominators > 0
    numerators, denominators = numerators[counted], denominators[counted]
    own = np.unique(clusters[counted], return_inverse=True)[1].astype(np.int64)
    groups = int(own.max()) + 1
    sums = np.bincount(own, weights=numerators, minlength=groups).astype(np.float64)
    sizes = np.bincount(own, weights=denominators, minlength=groups).astype(np.float64)
    table = np.round(np.stack([sums, sizes], axis=1), 9).astype(np.float64)
    pairs, counts = np.unique(table, axis=0, return_counts=True)
    pairs = pairs.astype(np.float64)
    return ClusteredScores(
        sums=pairs[:, 0],
        sizes=pairs[:, 1],
        counts=counts.astype(np.float64),
        degrees_of_freedom=_degrees_of_freedom(numerators, denominators, own, sizes),
        atom_size=float((sizes**2).sum() / sizes.sum()),
    )


def _degrees_of_freedom(
    numerators: NDArray[np.float64],
    denominators: NDArray[np.float64],
    own: NDArray[np.int64],
    sizes: NDArray[np.float64],
) -> float:
    """Satterthwaite's degrees of freedom of the variance between clusters."""
    # The variance of a cluster's sum is size * (1 + (size - 1) * icc). The intraclass correlation is estimated from the
    # rows, and taken as 1 where it cannot be.
    import numpy as np

    groups = len(sizes)
    if groups == len(numerators) or np.ptp(sizes) < 1e-9:
        return groups - 1.0
    mean = numerators.sum() / denominators.sum()
    residuals = numerators - mean * denominators
    within = float((residuals**2).sum())
    pairs = float((np.bincount(own, weights=residuals, minlength=groups) ** 2).sum()) - within
    possible = float((sizes**2).sum() - sizes.sum())
    icc = 1.0
    if within > 1e-12 and possible > 0:
        icc = min(1.0, max(0.0, (pairs / possible) / (within / len(residuals))))
    variances = sizes * (1 + (sizes - 1).clip(0) * icc)
    return max(1.0, float(variances.sum() ** 2 / (variances**2).sum()) - 1.0)


def score_statistic(
    scores: ClusteredScores,
    values: NDArray[np.float64],
    bounds: tuple[float, float] | None,
    counts: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Compute the score statistic of tested means.

    Args:
        scores: the sums.
        values: the tested means, strictly between the bounds, shape ``[v]``.
        bounds: the smallest and largest possible score of a row; None if there are none.
        counts: how often each cluster occurs, shape ``[v, k]``, for one sample for each tested mean. None: as in
            ``scores``.

    Returns:
        The distance of the observed mean from each tested mean in standard errors, with its sign, shape ``[v]``.
    """
    import numpy as np

    sampled = counts is not None
    counts = scores.counts[None, :] if counts is None else counts
    groups, rows = counts.sum(axis=1, keepdims=True), (counts @ scores.sizes)[:, None]
    mean_size = float((scores.counts * scores.sizes).sum() / scores.counts.sum())
    excess = (scores.sums - values[:, None] * scores.sizes) / mean_size
    atoms = np.zeros((len(values), 0))
    if bounds is not None:
        atoms = scores.unseen(values, bounds, float(groups.mean()) if sampled else None) / mean_size
    weights, atom_weights = _most_likely(excess, counts / groups, atoms)
    leverage = 1 - scores.sizes / rows
    variance = (weights * excess**2 / leverage.clip(1e-9)).sum(axis=1) + (atom_weights * atoms**2).sum(axis=1)
    distance: NDArray[np.float64] = (counts * excess).sum(axis=1) / np.sqrt(groups[:, 0] * variance.clip(1e-300))
    return distance


def _most_likely(
    excess: NDArray[np.float64], shares: NDArray[np.float64], atoms: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights of the observed values and of the bounds that maximise the likelihood with mean excess 0."""
    # w = share / (1 + tilt * excess); a bound that was not observed has weight only if the tilt is at its limit.
    import numpy as np

    everything = np.concatenate([excess, atoms], axis=1)
    largest, smallest = everything.max(axis=1), everything.min(axis=1)
    tiny = 1e-12
    low = np.where(largest > tiny, -1 / np.maximum(largest, tiny), 0.0)
    high = np.where(smallest < -tiny, -1 / np.minimum(smallest, -tiny), 0.0)
    shift = (1 - 1e-9) if atoms.shape[1] == 0 else 1.0
    low, high = low * shift, high * shift

    def slope_at(tilt: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        parts = excess / np.maximum(1 + tilt[:, None] * excess, tiny)
        return (shares * parts).sum(axis=1), (shares * parts**2).sum(axis=1)

    # Newton's method on the slope of the log-likelihood, which falls with the tilt, kept inside the bracket. Where an
    # observed value is the most extreme, the slope has a pole at the limit, which Newton leaves in tiny steps only: it
    # begins inside, unless the limit is the solution.
    mean = (shares * excess).sum(axis=1)
    limit = np.where(mean > 0, high, low)
    beyond = slope_at(limit)[0] * np.sign(mean) >= 0
    tilt = np.clip(_ratio(mean, (shares * excess**2).sum(axis=1)), 0.9 * low, 0.9 * high)
    tilt, low, high = np.where(beyond, limit, tilt), np.where(beyond, limit, low), np.where(beyond, limit, high)
    for _ in range(_NEWTON_STEPS):
        slope, curvature = slope_at(tilt)
        low, high = np.where(slope > 0, tilt, low), np.where(slope > 0, high, tilt)
        newton = tilt + _ratio(slope, curvature)
        tilt = np.where((newton >= low) & (newton <= high), newton, (low + high) / 2)
    weights = shares / np.maximum(1 + tilt[:, None] * excess, tiny)
    atom_weights = np.zeros_like(atoms)
    rest = (1 - weights.sum(axis=1)).clip(0)
    if atoms.shape[1]:
        # Only the bound on the side of the tilt can have weight: the other makes the mean worse.
        atom_weights[:, 0] = np.where(tilt > 0, rest, 0.0)
        atom_weights[:, 1] = np.where(tilt > 0, 0.0, rest)
    else:
        weights = weights / weights.sum(axis=1, keepdims=True)
    return weights, atom_weights


def _ratio(numerator: NDArray[np.float64], denominator: NDArray[np.float64]) -> NDArray[np.float64]:
    """The ratio, and 0 where the denominator is 0."""
    import numpy as np

    ratio: NDArray[np.float64] = np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)
    return ratio


def score_interval(
    scores: ClusteredScores, confidence: float, bounds: tuple[float, float] | None
) -> tuple[float, float]:
    """Compute the score interval of a mean.

    Args:
        scores: the sums.
        confidence: confidence level, e.g. 0.95.
        bounds: the smallest and largest possible score of a row; None if there are none.

    Returns:
        Lower and upper end.
    """
    import numpy as np

    mean = scores.mean
    critical = critical_value(confidence, scores.degrees_of_freedom)
    if bounds is None:
        spread = float(np.ptp(scores.sums / scores.sizes))
        if spread == 0:
            return mean, mean
        low, high = _reach(scores, mean, critical, -1, None), _reach(scores, mean, critical, 1, None)
        return low, high
    low = bounds[0] if mean <= bounds[0] + 1e-12 else _reach(scores, mean, critical, -1, bounds)
    high = bounds[1] if mean >= bounds[1] - 1e-12 else _reach(scores, mean, critical, 1, bounds)
    return low, high


def _reach(
    scores: ClusteredScores, mean: float, critical: float, side: int, bounds: tuple[float, float] | None
) -> float:
    """The farthest mean on one side that the test does not reject."""
    import numpy as np

    ratios = scores.sums / scores.sizes
    if bounds is not None:
        outside = bounds[1] if side > 0 else bounds[0]
    else:
        outside = float(ratios.max() if side > 0 else ratios.min())
    from scipy.optimize import brentq

    def excess(value: float) -> float:
        return abs(float(score_statistic(scores, np.array([value]), bounds)[0])) - critical

    nearly = outside - (outside - mean) * 1e-9
    if excess(nearly) <= 0:
        return outside
    return float(brentq(excess, mean, nearly, xtol=1e-7))
