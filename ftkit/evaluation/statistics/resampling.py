"""Sums by cluster, and bootstrap samples of clusters.

Clusters of rows are resampled with a seeded generator of their own, never numpy's global one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["DRAWS", "cluster_sums", "resample"]

DRAWS = 10_000
"""Bootstrap samples by default."""

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
