"""Tests of one model against another on the same rows, and how many rows a verdict takes."""

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
    """Two-sided p value of McNemar's exact test: are rows as often fixed as broken?

    The binomial test of ``fixed`` in ``fixed + regressed`` at one half (McNemar 1947); 1 when nothing changed.
    """
    if fixed + regressed == 0:
        return 1.0
    from scipy.stats import binomtest

    return float(binomtest(fixed, fixed + regressed, 0.5).pvalue)


def sign_flip(differences: NDArray[np.float64], *, seed: int, draws: int = DRAWS) -> float:
    """Two-sided p value that the sum of ``differences`` (one a cluster) is not zero, by flipping signs at random.

    If the two models were alike, each cluster's difference could as well have had the other sign. Needs no normal
    distribution and allows clusters of any size; the smallest p value it can give is ``1/(draws + 1)``.
    """
    import numpy as np

    moved = differences[np.abs(differences) > 1e-12]
    if len(moved) == 0:
        return 1.0
    generator = np.random.default_rng(seed)
    reached = abs(float(moved.sum())) - 1e-9
    batch, extreme = max(1, _CELLS // len(moved)), 0
    for start in range(0, draws, batch):
        size = min(batch, draws - start)
        bits = np.frombuffer(generator.bytes(size * -(-len(moved) // 8)), dtype=np.uint8).reshape(size, -1)
        kept = np.unpackbits(bits, axis=1, count=len(moved)).astype(np.float64) @ moved
        extreme += int((np.abs(2 * kept - moved.sum()) >= reached).sum())
    return (extreme + 1) / (draws + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """The p values adjusted for having looked at all of them (Holm 1979), in the order given."""
    adjusted, running = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = running
    return adjusted


def rows_for_margin(variance: float, gap: float, confidence: float, power: float = 0.8) -> int:
    """Rows that show, with probability ``power``, that a mean is off a limit which lies ``gap`` away.

    ``n = (z_confidence + z_power)² · variance / gap²``.

    Args:
        variance: of one row's difference between the two models; for right/wrong it is the share of rows on which
            they disagree, less the squared change.
        gap: above 0. Against "no change": the change. Against a margin: the margin plus the change.
    """
    reach = critical_value(confidence) + NormalDist().inv_cdf(power)
    return math.ceil(reach**2 * variance / gap**2)


def rows_for_zero_change(margin: float, confidence: float) -> int:
    """Fewest rows that can show a loss below ``margin`` at all: when no single row changes.

    Solves :func:`paired_interval` without discordant rows for its lower end at ``-margin``.
    """
    square = critical_value(confidence) ** 2
    return math.floor(square * (1 - margin) / margin) + 1
