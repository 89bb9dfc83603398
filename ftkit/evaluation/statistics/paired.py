"""Tests of one model against another on the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ftkit.evaluation.statistics.resampling import DRAWS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["holm", "mcnemar_exact", "sign_flip"]

_CELLS = 2_000_000


def mcnemar_exact(fixed: int, regressed: int) -> float:
    """Compute the p value of McNemar's exact test (McNemar 1947).

    It is the two-sided binomial test of ``fixed`` successes in ``fixed + regressed`` trials at one half.

    Args:
        fixed: rows wrong before and right after.
        regressed: rows right before and wrong after.

    Returns:
        The p value; 1 if no row changed.
    """
    if fixed + regressed == 0:
        return 1.0
    from scipy.stats import binomtest

    return float(binomtest(fixed, fixed + regressed, 0.5).pvalue)


def sign_flip(differences: NDArray[np.float64], *, seed: int, draws: int = DRAWS) -> float:
    """Compute the p value of a sign-flip permutation test that the sum of differences is zero.

    Under the null hypothesis each cluster's difference could have had the other sign. The test assumes no distribution
    and allows clusters of any size.

    Args:
        differences: one per cluster, shape ``[clusters]``.
        seed: seed of the sign flips.
        draws: number of permutations.

    Returns:
        The two-sided p value, at least ``1/(draws + 1)``.
    """
    import numpy as np

    nonzero = differences[np.abs(differences) > 1e-12]
    if len(nonzero) == 0:
        return 1.0
    generator = np.random.default_rng(seed)
    observed = abs(float(nonzero.sum())) - 1e-9
    batch, extreme = max(1, _CELLS // len(nonzero)), 0
    for start in range(0, draws, batch):
        size = min(batch, draws - start)
        bits = np.frombuffer(generator.bytes(size * -(-len(nonzero) // 8)), dtype=np.uint8).reshape(size, -1)
        positive = np.unpackbits(bits, axis=1, count=len(nonzero)).astype(np.float64) @ nonzero
        extreme += int((np.abs(2 * positive - nonzero.sum()) >= observed).sum())
    return (extreme + 1) / (draws + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p values for multiple testing by Holm's method (Holm 1979).

    Args:
        p_values: the p values.

    Returns:
        The adjusted p values, in the same order.
    """
    adjusted, running = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = running
    return adjusted
