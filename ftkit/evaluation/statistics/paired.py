"""Tests of one model against another on the same rows, and the number of rows that a verdict needs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING

from ftkit.evaluation.statistics.bootstrap import DRAWS
from ftkit.evaluation.statistics.intervals import critical_value

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["holm", "mcnemar_exact", "rows_for_margin", "rows_for_zero_change", "sign_flip"]

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


def rows_for_margin(variance: float, gap: float, confidence: float, power: float = 0.8) -> int:
    """Compute the number of rows that shows a mean difference to be beyond a limit.

    ``n = (z_confidence + z_power)² · variance / gap²``.

    Args:
        variance: variance of one row's difference between the two models; for binary scores the share of rows on which
            they disagree, minus the squared change.
        gap: distance to the limit, above 0: the change itself, or with a margin the margin plus the change.
        confidence: confidence level of the interval.
        power: probability of showing it.

    Returns:
        Number of rows.
    """
    reach = critical_value(confidence) + NormalDist().inv_cdf(power)
    return math.ceil(reach**2 * variance / gap**2)


def rows_for_zero_change(margin: float, confidence: float) -> int:
    """Compute the smallest number of rows that can show a loss below a margin, if no row changes.

    It solves :func:`paired_interval` without discordant rows for a lower end of ``-margin``.

    Args:
        margin: the margin, between 0 and 1.
        confidence: confidence level of the interval.

    Returns:
        Number of rows.
    """
    square = critical_value(confidence) ** 2
    return math.floor(square * (1 - margin) / margin) + 1
