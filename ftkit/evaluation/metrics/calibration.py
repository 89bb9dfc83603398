"""Whether a model is as often right as its probabilities say; where the place that answers gives them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftkit.evaluation.metrics.metric import Metric, RowMetric
from ftkit.results.report_row import RowResult
from ftkit.schema.equality import same_value

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["BINS", "CALIBRATION", "believed"]

BINS = 10
"""Bins of equal width between 0 and 1."""


def believed(row: RowResult) -> tuple[float, bool] | None:
    """The probability that the model gave its answer, and whether it is right; ``None`` where either is not known."""
    if row.logprob is None or not row.has_target:
        return None
    return min(1.0, math.exp(row.logprob)), row.valid and same_value(row.value, row.target)


@dataclass(frozen=True, kw_only=True)
class CalibrationError(Metric):
    """Expected calibration error: the gap between probability and share of right answers, averaged over the rows by bin
    (Guo et al. 2017, arXiv:1706.04599, equation 3)."""

    def tally(self, row: RowResult) -> tuple[float, ...]:
        sums = [0.0] * (3 * BINS)
        found = believed(row)
        if found is not None:
            chance, right = found
            place = min(int(chance * BINS), BINS - 1)
            sums[place], sums[BINS + place], sums[2 * BINS + place] = 1.0, chance, float(right)
        return tuple(sums)

    def combine(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        import numpy as np

        count, chance, right = np.split(sums, 3, axis=-1)
        rows = count.sum(axis=-1)
        gap = np.abs(chance - right).sum(axis=-1)
        error: NDArray[np.float64] = np.divide(gap, rows, out=np.full(np.shape(rows), np.nan), where=rows > 0)
        return error


def _brier(row: RowResult) -> float | None:
    found = believed(row)
    return None if found is None else (found[0] - found[1]) ** 2


CALIBRATION: tuple[Metric, ...] = (
    CalibrationError(
        name="calibration_error",
        description=f"gap between the model's probability of its answer and how often it is right, in {BINS} bins",
        higher_is_better=False,
    ),
    RowMetric(
        name="brier",
        description="mean squared gap between the model's probability of its answer and its being right (Brier 1950)",
        higher_is_better=False,
        score=_brier,
    ),
)
