"""Intervals of weighted sums of estimates that have intervals of their own (MOVER).

Source: Zou and Donner 2008, Statistics in Medicine 27:1693-1702, and for two correlated proportions Newcombe 1998,
Statistics in Medicine 17:2635-2650, method 10. Each end of the sum's interval uses the ends of the parts on that side,
so that a part without spread, such as 4 right of 4, still adds its uncertainty.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Estimate", "mover_interval"]


@dataclass(frozen=True)
class Estimate:
    """A part of a sum.

    Attributes:
        value: the estimate.
        low: lower end of its interval.
        high: upper end of its interval.
        weight: its factor in the sum.
        influence: how much each cluster moves the estimate, up to a factor, shape ``[clusters]``.
    """

    value: float
    low: float
    high: float
    weight: float
    influence: NDArray[np.float64]


def mover_interval(parts: Sequence[Estimate]) -> tuple[float, float]:
    """Compute the interval of the weighted sum of estimates on the same clusters.

    Args:
        parts: the estimates.

    Returns:
        Lower and upper end.
    """
    import numpy as np

    value = sum(part.weight * part.value for part in parts)
    influences = np.stack([part.influence for part in parts])
    influences = influences - influences.mean(axis=1, keepdims=True)
    lengths = np.sqrt((influences**2).sum(axis=1, keepdims=True))
    units = np.divide(influences, lengths, out=np.zeros_like(influences), where=lengths > 1e-12)
    correlation = units @ units.T
    np.fill_diagonal(correlation, 1.0)

    def reach(side: int) -> float:
        ends = [part.low if part.weight * side < 0 else part.high for part in parts]
        moved = np.array([part.weight * (end - part.value) for part, end in zip(parts, ends, strict=True)])
        return math.sqrt(max(0.0, float(moved @ correlation @ moved)))

    return value - reach(-1), value + reach(1)
