"""Score intervals: for a rate, and for the difference of two rates measured on the same rows.

Both stay honest at the edges. Where every row is right, a normal or bootstrap interval has no width; these keep one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING

from ftkit.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["check_confidence", "critical_value", "effective_rows", "paired_interval", "quantile", "wilson_interval"]


def check_confidence(confidence: float) -> None:
    """
    Raises:
        ConfigError: it does not lie between 0 and 1.
    """
    if not 0 < confidence < 1:
        raise ConfigError(f"confidence must lie between 0 and 1 (e.g. 0.95), not {confidence}")


def critical_value(confidence: float, clusters: int | None = None) -> float:
    """How many standard errors a two-sided interval reaches.

    From the normal distribution; with ``clusters`` from Student's t with ``clusters - 1`` degrees of freedom, because
    the spread between few groups is itself badly known.
    """
    upper = 0.5 + confidence / 2
    if clusters is None or clusters < 2:
        return NormalDist().inv_cdf(upper)
    from scipy.stats import t

    return float(t.ppf(upper, clusters - 1))


def wilson_interval(successes: float, rows: float, critical: float) -> tuple[float, float]:
    """Wilson's score interval for ``successes`` of ``rows`` (Wilson 1927), within 0..1.

    Neither needs to be a whole number: with an effective number of rows this is the interval for clustered samples
    of Franco, Little, Louis and Slud (2019).
    """
    share, square = successes / rows, critical**2
    middle = (share + square / (2 * rows)) / (1 + square / rows)
    half = critical / (1 + square / rows) * math.sqrt(share * (1 - share) / rows + square / (4 * rows**2))
    low = 0.0 if share <= 0 else max(0.0, middle - half)
    high = 1.0 if share >= 1 else min(1.0, middle + half)
    return low, high


def paired_interval(fixed: float, regressed: float, rows: float, critical: float) -> tuple[float, float]:
    """Tango's score interval for the change of a rate between two measurements of the same rows.

    Args:
        fixed: rows wrong before and right after.
        regressed: rows right before and wrong after.
        rows: all rows; the change is ``(fixed - regressed) / rows``. Counts may be fractions (effective rows).
        critical: standard errors to reach, see :func:`critical_value`.

    Source: Tango (1998), Statistics in Medicine 17:891-908; the interval holds every change that a score test would
    not reject. With no discordant row at all it is ``± c²/(rows + c²)``.
    """

    def excess(change: float) -> float:
        """Squared distance of the observed from the supposed change, less what the score test allows."""
        b = -fixed - regressed + (2 * rows - fixed + regressed) * change
        c = -regressed * change * (1 - change)
        # The likeliest share of regressed rows, if this were the true change.
        share = (math.sqrt(max(0.0, b * b - 8 * rows * c)) - b) / (4 * rows)
        variance = rows * (2 * share + change * (1 - change))
        return (fixed - regressed - rows * change) ** 2 - critical**2 * variance

    observed = (fixed - regressed) / rows
    return _crossing(excess, -1.0, observed), _crossing(excess, 1.0, observed)


def _crossing(excess: Callable[[float], float], outside: float, inside: float) -> float:
    for _ in range(60):  # 60 halvings of an interval no longer than 2 reach the precision of a float
        middle = (outside + inside) / 2
        if excess(middle) > 0:
            outside = middle
        else:
            inside = middle
    return outside


def effective_rows(values: NDArray[np.float64], clusters: NDArray[np.int64]) -> float:
    """How many independent rows the mean of ``values`` is worth, when rows of one cluster resemble each other.

    Rows divided by the design effect: the variance of the mean between clusters over the variance it would have with
    independent rows, never below 1. Without any spread the effect cannot be seen, and each cluster counts as one row.

    Args:
        values: one number a row, shape (rows,).
        clusters: each row's cluster, shape (rows,).
    """
    import numpy as np

    _, own = np.unique(clusters, return_inverse=True)
    rows, count = len(values), int(own.max()) + 1
    if count == rows:
        return float(rows)
    residuals = values - values.mean()
    independent = float((residuals**2).sum())
    if count < 2 or independent < 1e-12:
        return float(count)
    sums = np.bincount(own, weights=residuals)
    between = count / (count - 1) * float((sums**2).sum())
    return rows / max(1.0, between / independent)


def quantile(values: Sequence[float], share: float) -> float | None:
    """The value below which ``share`` of ``values`` lie, interpolated between neighbours; ``None`` of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    position = share * (len(ordered) - 1)
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)
