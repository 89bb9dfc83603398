"""The bootstrap, for every metric that is not a proportion of rows.

Clusters of rows are resampled with a seeded generator of their own, never numpy's global one.
"""

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
"""Bootstrap samples per interval: enough that its ends, in percent, do not depend on the seed in the second digit."""

_CELLS = 2_000_000  # indices samples at a time: 16 MB


def cluster_sums(statistics: NDArray[np.float64], clusters: NDArray[np.int64]) -> NDArray[np.float64]:
    """Sum statistics over the rows of each cluster.

    Args:
        statistics: shape ``[rows, k]``.
        clusters: cluster ids from 0, shape ``[rows]``.

    Returns:
        Shape ``[clusters, k]``.
    """
    import numpy as np

    sums = np.zeros((int(clusters.max()) + 1, statistics.shape[1]))
    np.add.at(sums, clusters, statistics)
    return sums


def resample(sums: NDArray[np.float64], *, seed: int, draws: int = DRAWS) -> NDArray[np.float64]:
    """Draw bootstrap samples of clusters with replacement and sum their statistics.

    Args:
        sums: shape ``[clusters, k]``, from :func:`cluster_sums`. Columns share their draws.
        seed: seed of the generator.
        draws: number of bootstrap samples.

    Returns:
        Sums by sample, shape ``[draws, k]``.
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
    estimate: float, samples: NDArray[np.float64], jackknife: NDArray[np.float64], confidence: float
) -> tuple[float, float]:
    """Compute the bias-corrected and accelerated bootstrap interval (Efron 1987), widened for few clusters.

    The variance of a bootstrap sample of n clusters is too small by (n - 1)/n, so the plain interval covers too
    rarely: 92.5 % for 20 skewed values at a nominal 95 %, against 94.8 % with this correction. The critical value is
    ``sqrt(n / (n - 1))`` times the quantile of Student's t (Hesterberg 2015, arXiv:1411.5279).

    Args:
        estimate: the statistic on the sample.
        samples: the statistic on each bootstrap sample, shape ``[draws]``; NaN entries are left out.
        jackknife: the statistic without each cluster in turn, shape ``[clusters]``; NaN entries are left out.
        confidence: confidence level, e.g. 0.95.

    Returns:
        Lower and upper end.
    """
    import numpy as np

    samples, jackknife = samples[np.isfinite(samples)], jackknife[np.isfinite(jackknife)]
    if len(samples) == 0:
        return estimate, estimate
    normal = NormalDist()
    # Compare with a tolerance: the same rows in another order differ in the last bit.
    slack = 1e-12 * max(1.0, abs(estimate))
    below = float((samples < estimate - slack).mean() + (np.abs(samples - estimate) <= slack).mean() / 2)
    bias = normal.inv_cdf(min(max(below, 0.5 / len(samples)), 1 - 0.5 / len(samples)))
    spread = jackknife.mean() - jackknife if len(jackknife) else np.zeros(1)
    scale = float((spread**2).sum()) ** 1.5
    acceleration = float((spread**3).sum()) / (6 * scale) if scale > 1e-18 else 0.0

    count = max(2, len(jackknife))
    critical = critical_value(confidence, count) * math.sqrt(count / (count - 1))

    def level(errors: float) -> float:
        reach = bias + errors
        return normal.cdf(bias + reach / max(1e-9, 1 - acceleration * reach))

    low, high = np.quantile(samples, [level(-critical), level(critical)])
    return float(low), float(high)
