"""Score intervals: for a rate, and for the difference of two rates measured on the same rows.

Both are valid at the extremes: where every row is right, a normal interval has no width, but these do.
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

__all__ = [
    "check_confidence",
    "critical_value",
    "effective_rows",
    "exact_interval",
    "paired_interval",
    "quantile",
    "rate_interval",
    "wilson_interval",
]


_FEW = 10


def check_confidence(confidence: float) -> None:
    """Check a confidence level.

    Args:
        confidence: the level.

    Raises:
        ConfigError: it is not between 0 and 1.
    """
    if not 0 < confidence < 1:
        raise ConfigError(f"confidence must lie between 0 and 1 (e.g. 0.95), not {confidence}")


def critical_value(confidence: float, degrees_of_freedom: float | None = None) -> float:
    """Compute the critical value of a two-sided interval, in standard errors.

    Args:
        confidence: confidence level, e.g. 0.95.
        degrees_of_freedom: those of Student's t, which is used if the variance is estimated. None: the normal
            distribution.

    Returns:
        The quantile of the normal or t distribution.
    """
    upper = 0.5 + confidence / 2
    if degrees_of_freedom is None:
        return NormalDist().inv_cdf(upper)
    from scipy.stats import t

    return float(t.ppf(upper, max(1.0, degrees_of_freedom)))


def wilson_interval(successes: float, rows: float, critical: float) -> tuple[float, float]:
    """Compute Wilson's score interval for a proportion (Wilson 1927).

    With an effective number of rows it is the interval for clustered samples of Franco, Little, Louis and Slud (2019).

    Args:
        successes: number of successes; may be a fraction.
        rows: number of rows, or effective rows.
        critical: critical value, see :func:`critical_value`.

    Returns:
        Lower and upper end, within 0 to 1.
    """
    share, square = successes / rows, critical**2
    middle = (share + square / (2 * rows)) / (1 + square / rows)
    half = critical / (1 + square / rows) * math.sqrt(share * (1 - share) / rows + square / (4 * rows**2))
    low = 0.0 if share <= 0 else max(0.0, middle - half)
    high = 1.0 if share >= 1 else min(1.0, middle + half)
    return low, high


def exact_interval(successes: float, rows: float, confidence: float) -> tuple[float, float]:
    """Compute the exact interval for a proportion (Clopper and Pearson 1934, Biometrika 26:404-413).

    Args:
        successes: number of successes.
        rows: number of rows.
        confidence: confidence level, e.g. 0.95.

    Returns:
        Lower and upper end.
    """
    from scipy.stats import beta

    tail = (1 - confidence) / 2
    low = 0.0 if successes <= 0 else float(beta.ppf(tail, successes, rows - successes + 1))
    high = 1.0 if successes >= rows else float(beta.ppf(1 - tail, successes + 1, rows - successes))
    return low, high


def rate_interval(successes: float, rows: float, confidence: float) -> tuple[float, float]:
    """Compute the interval for a proportion of independent rows.

    It is Wilson's, and the exact one where fewer than ten rows are right or fewer than ten are wrong: there Wilson's
    can cover the truth as rarely as 84 % of the time (Brown, Cai and DasGupta 2001, Statistical Science 16:101-133).

    Args:
        successes: number of successes.
        rows: number of rows.
        confidence: confidence level, e.g. 0.95.

    Returns:
        Lower and upper end.
    """
    if min(successes, rows - successes) < _FEW:
        return exact_interval(successes, rows, confidence)
    return wilson_interval(successes, rows, critical_value(confidence))


def paired_interval(fixed: float, regressed: float, rows: float, critical: float) -> tuple[float, float]:
    """Compute Tango's score interval for the change of a rate between two measurements of the same rows.

    The interval contains every change that a score test would not reject (Tango 1998, Statistics in Medicine
    17:891-908). Without discordant rows it is ``± c²/(rows + c²)``.

    Args:
        fixed: rows wrong before and right after.
        regressed: rows right before and wrong after.
        rows: all rows; the change is ``(fixed - regressed) / rows``. Counts may be fractions (effective rows).
        critical: critical value, see :func:`critical_value`.

    Returns:
        Lower and upper end, within -1 to 1.
    """

    def excess(change: float) -> float:
        """Squared distance of the observed change from ``change``, minus what the score test allows."""
        b = -fixed - regressed + (2 * rows - fixed + regressed) * change
        c = -regressed * change * (1 - change)
        # Maximum-likelihood share of regressed rows under this change.
        share = (math.sqrt(max(0.0, b * b - 8 * rows * c)) - b) / (4 * rows)
        variance = rows * (2 * share + change * (1 - change))
        return (fixed - regressed - rows * change) ** 2 - critical**2 * variance

    observed = (fixed - regressed) / rows
    return _crossing(excess, -1.0, observed), _crossing(excess, 1.0, observed)


def _crossing(excess: Callable[[float], float], outside: float, inside: float) -> float:
    for _ in range(60):  # 60 bisections of an interval of length 2 reach float precision
        middle = (outside + inside) / 2
        if excess(middle) > 0:
            outside = middle
        else:
            inside = middle
    return outside


def effective_rows(values: NDArray[np.float64], clusters: NDArray[np.int64]) -> float:
    """Compute the effective number of independent rows of clustered data.

    It is the number of rows divided by the design effect: the variance of the mean between clusters over its variance
    with independent rows, at least 1. If all values are equal the effect cannot be estimated, and each cluster counts
    as one row.

    Args:
        values: shape ``[rows]``.
        clusters: cluster ids, shape ``[rows]``.

    Returns:
        Effective number of rows.
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
    """Compute a quantile with linear interpolation.

    Args:
        values: the values, in any order.
        share: between 0 and 1, e.g. 0.95.

    Returns:
        The quantile; None if there are no values.
    """
    if not values:
        return None
    ordered = sorted(values)
    position = share * (len(ordered) - 1)
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)
