"""Calibration: does the probability that a model gives to its answers match how often they are right?

These metrics need log-probabilities, which local models give.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from typing_extensions import override

from ftkit.evaluation.metrics.metric import Metric, RowMetric
from ftkit.results.report_row import RowResult
from ftkit.schema.equality import same_answer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["BINS", "BRIER", "CALIBRATION_ERROR"]

BINS = 10
"""Bins of equal width between 0 and 1."""


def _probability_and_correct(row: RowResult) -> tuple[float, bool] | None:
    """The probability that the model gave to its answer, and whether it is right; None where either is unknown."""
    if row.logprob is None or not row.has_target or row.wants_calls:
        return None
    return min(1.0, math.exp(row.logprob)), row.valid and same_answer(row.value, row.target)


@dataclass(frozen=True, kw_only=True)
class CalibrationError(Metric):
    """Expected calibration error: the gap between probability and accuracy, averaged over bins weighted by their rows.

    Source: Guo et al. 2017, arXiv:1706.04599, equation 3. Statistics of a row: for each bin whether the row is in it,
    its probability, and whether it is right.
    """

    @override
    def statistics(self, row: RowResult) -> tuple[float, ...]:
        sums = [0.0] * (3 * BINS)
        pair = _probability_and_correct(row)
        if pair is not None:
            probability, correct = pair
            index = min(int(probability * BINS), BINS - 1)
            sums[index], sums[BINS + index], sums[2 * BINS + index] = 1.0, probability, float(correct)
        return tuple(sums)

    @override
    def no_interval(self, sums: NDArray[np.float64]) -> str:
        return "the value is too high on few rows, even if the model is calibrated"

    @override
    def compute(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        import numpy as np

        count, probability, correct = np.split(sums, 3, axis=-1)
        rows = count.sum(axis=-1)
        gap = np.abs(probability - correct).sum(axis=-1)
        error: NDArray[np.float64] = np.divide(gap, rows, out=np.full(np.shape(rows), np.nan), where=rows > 0)
        return error


def _squared_error(row: RowResult) -> float | None:
    pair = _probability_and_correct(row)
    return None if pair is None else (pair[0] - pair[1]) ** 2


CALIBRATION_ERROR = CalibrationError(
    name="calibration_error",
    description=f"gap between the model's probability of its answer and how often it is right, in {BINS} bins",
    higher_is_better=False,
)
BRIER = RowMetric(
    name="brier",
    description="mean squared gap between the model's probability of its answer and its being right (Brier 1950)",
    higher_is_better=False,
    score=_squared_error,
)
