"""Metrics of classification: the answer is one of a few choices.

An answer that is none of the choices is wrong. It counts against the recall of the target choice, and against the
precision of no choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from typing_extensions import override

from ftkit.evaluation.metrics.calibration import BRIER, CALIBRATION_ERROR
from ftkit.evaluation.metrics.metric import (
    Metric,
    MetricCollection,
    MetricContext,
    Ratio,
    RatioMetric,
    RowMetric,
)
from ftkit.results.confusion import INVALID, confusion_of
from ftkit.results.report_row import RowResult
from ftkit.schema import ChoiceOutput

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["INVALID", "ChoiceMetrics", "confusion"]


class ChoiceMetrics(MetricCollection):
    """Accuracy, macro F1, and precision, recall and F1 of each choice; calibration if the model gives probabilities."""

    automatic = True

    @override
    def metrics(self, context: MetricContext) -> tuple[Metric, ...]:
        output = context.output
        if not isinstance(output, ChoiceOutput):
            return ()
        calibration = (CALIBRATION_ERROR, BRIER) if any(row.logprob is not None for row in context.rows) else ()
        return (
            RowMetric(
                name="valid_rate",
                description="answers that are one of the choices",
                score=lambda row: None if row.wants_calls else row.valid,
            ),
            RowMetric(
                name="accuracy", description="answers that are the wanted choice", score=_correct, headline_rank=1
            ),
            MacroF1(
                name="macro_f1",
                description="mean F1 of the choices that were wanted or answered at least once",
                choices=tuple(output.choices),
            ),
            *(metric for choice in output.choices for metric in _choice_rates(choice)),
            *calibration,
        )


def _choice_rates(choice: str) -> tuple[Metric, ...]:
    return (
        ChoiceRate(
            name=f"precision:{choice}",
            description=f"of the answers “{choice}”, those that are right",
            choice=choice,
            kind="precision",
        ),
        ChoiceRate(
            name=f"recall:{choice}",
            description=f"of the rows that want “{choice}”, those answered so",
            choice=choice,
            kind="recall",
        ),
        ChoiceRate(
            name=f"f1:{choice}",
            description=f"harmonic mean of precision and recall of “{choice}”",
            choice=choice,
            kind="f1",
        ),
    )


def confusion(rows: Sequence[RowResult], choices: Sequence[str]) -> list[list[int]]:
    """Compute the confusion matrix; :attr:`ftkit.Report.confusion` has it of a report.

    Args:
        rows: rows with their answers; those without a target are left out.
        choices: the choices of the output.

    Returns:
        Counts, one row for each target choice; the columns are the answered choices and then :data:`INVALID`.
    """
    return [list(counts) for counts in confusion_of(rows, choices).counts]


def _valid(row: RowResult) -> bool | None:
    return None if row.wants_calls else row.valid


def _correct(row: RowResult) -> bool | None:
    return row.valid and row.value == row.target if row.has_target and not row.wants_calls else None


def _matches(row: RowResult, choice: str) -> tuple[float, float, float]:
    """Whether the row is a true positive of ``choice``, is predicted as it, and has it as its target."""
    if not row.has_target or row.wants_calls:
        return 0.0, 0.0, 0.0
    predicted, target = row.valid and row.value == choice, row.target == choice
    return float(predicted and target), float(predicted), float(target)


def f1_of_jaccard(jaccard: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn the share of true positives among all rows that want or get a choice into F1.

    That share is a proportion of rows, which F1 is not (Hand, Christen and Kirielle 2021, Machine Learning
    110:451-456), so intervals are computed for it.

    Args:
        jaccard: true positives divided by rows that want or get the choice, any shape.

    Returns:
        F1, of the same shape.
    """
    return 2 * jaccard / (1 + jaccard)


_MIN_ROWS_OF_A_CHOICE = 5
"""Rows that want or get a choice, below which macro F1 has no interval."""


@dataclass(frozen=True, kw_only=True)
class ChoiceRate(RatioMetric):
    """Precision, recall or F1 of one choice; undefined if its denominator is 0."""

    choice: str
    kind: Literal["precision", "recall", "f1"]

    @override
    def statistics(self, row: RowResult) -> tuple[float, ...]:
        true_positive, predicted, target = _matches(row, self.choice)
        if self.kind == "precision":
            return true_positive, predicted
        if self.kind == "recall":
            return true_positive, target
        return true_positive, max(predicted, target)

    @override
    def ratios(self, sums: NDArray[np.float64]) -> tuple[Ratio, ...]:
        return (Ratio(0, 1, transform=f1_of_jaccard),) if self.kind == "f1" else super().ratios(sums)


@dataclass(frozen=True, kw_only=True)
class MacroF1(Metric):
    """The unweighted mean of the choices' F1, over choices that occur as target or answer."""

    choices: tuple[str, ...]

    @override
    def statistics(self, row: RowResult) -> tuple[float, ...]:
        matches = [_matches(row, choice) for choice in self.choices]
        true_positives = tuple(true_positive for true_positive, _, _ in matches)
        return true_positives + tuple(max(predicted, target) for _, predicted, target in matches)

    @override
    def ratios(self, sums: NDArray[np.float64]) -> tuple[Ratio, ...]:
        count = len(self.choices)
        present = [index for index in range(count) if sums[count + index] > 0]
        return tuple(Ratio(index, count + index, 1 / len(present), f1_of_jaccard) for index in present)

    @override
    def no_interval(self, sums: NDArray[np.float64]) -> str:
        rare = int((sums[len(self.choices) :] < _MIN_ROWS_OF_A_CHOICE).sum())
        if not rare:
            return ""
        return f"{rare} of {len(self.choices)} choices have fewer than {_MIN_ROWS_OF_A_CHOICE} rows"

    @override
    def compute(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        import numpy as np

        true_positives, unions = np.split(sums, 2, axis=-1)
        shares = np.divide(true_positives, unions, out=np.zeros_like(true_positives), where=unions > 0)
        present = (unions > 0).sum(axis=-1)
        undefined = np.full(np.shape(present), np.nan)
        scores = f1_of_jaccard(shares).sum(axis=-1)
        mean: NDArray[np.float64] = np.divide(scores, present, out=undefined, where=present > 0)
        return mean
