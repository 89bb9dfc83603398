"""The bootstrap, for everything that is not a plain share of rows: draw clusters of rows again and again, and look how
the number moves. Seeded, and never from numpy's global generator."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING

from ftkit.evaluation.statistics.intervals import critical_value

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["DRAWS", "bca_interval", "cluster_sums", "resample"]

DRAWS = 10_000
"""Draws behind an interval: enough that the second digit of its ends in percent does not depend on the seed."""

_CELLS = 2_000_000  # drawn at once: 16 MB of random indices


def cluster_sums(tallies: NDArray[np.float64], clusters: NDArray[np.int64]) -> NDArray[np.float64]:
    """Each cluster's sum of its rows' tallies: (rows, k) and (rows,) become (clusters, k)."""
    import numpy as np

    sums = np.zeros((int(clusters.max()) + 1, tallies.shape[1]))
    np.add.at(sums, clusters, tallies)
    return sums


def resample(sums: NDArray[np.float64], *, seed: int, draws: int = DRAWS) -> NDArray[np.float64]:
    """Total the clusters of as many samples as ``draws``, each of all clusters with replacement.

    Args:
        sums: shape (clusters, k), from :func:`cluster_sums`. Everything that is to be drawn alike goes in at once.

    Returns:
        shape (draws, k): the totals from which a statistic is computed.
    """
    import numpy as np

    generator = np.random.default_rng(seed)
    count = len(sums)
    batch = max(1, _CELLS // count)
    parts = []
    for start in range(0, draws, batch):
        size = min(batch, draws - start)
        picks = generator.integers(0, count, size=(size, count))
        picks += np.arange(size)[:, None] * count
        times = np.bincount(picks.ravel(), minlength=size * count).reshape(size, count)
        parts.append(times.astype(np.float64) @ sums)
    return np.concatenate(parts)


def bca_interval(
    estimate: float, drawn: NDArray[np.float64], left_out: NDArray[np.float64], confidence: float
) -> tuple[float, float]:
    """The bias-corrected and accelerated bootstrap interval (Efron 1987), a little wider where clusters are few.

    A bootstrap sample of n clusters spreads like n - 1, and the plain interval covers too seldom: 92.5 % of the time
    for 20 skewed values where 95 % are promised, against 94.8 % with this. The reach in standard errors is
    ``sqrt(n / (n - 1))`` times Student's t in place of the normal quantile (Hesterberg 2015, arXiv:1411.5279).

    Args:
        estimate: the statistic on the real sample.
        drawn: the statistic on each bootstrap sample; ``nan`` where it was not defined, which is left out.
        left_out: the statistic without each cluster in turn (the jackknife); ``nan`` likewise.
        confidence: e.g. 0.95.
    """
    import numpy as np

    drawn, left_out = drawn[np.isfinite(drawn)], left_out[np.isfinite(left_out)]
    if len(drawn) == 0:
        return estimate, estimate
    normal = NormalDist()
    # Ties are met to rounding: the same rows in another order sum to another last bit.
    slack = 1e-12 * max(1.0, abs(estimate))
    below = float((drawn < estimate - slack).mean() + (np.abs(drawn - estimate) <= slack).mean() / 2)
    bias = normal.inv_cdf(min(max(below, 0.5 / len(drawn)), 1 - 0.5 / len(drawn)))
    spread = left_out.mean() - left_out if len(left_out) else np.zeros(1)
    scale = float((spread**2).sum()) ** 1.5
    acceleration = float((spread**3).sum()) / (6 * scale) if scale > 1e-18 else 0.0

    count = max(2, len(left_out))
    critical = critical_value(confidence, count) * math.sqrt(count / (count - 1))

    def level(errors: float) -> float:
        reach = bias + errors
        return normal.cdf(bias + reach / max(1e-9, 1 - acceleration * reach))

    low, high = np.quantile(drawn, [level(-critical), level(critical)])
    return float(low), float(high)
