"""Metrics of answers that are one of a few choices.

An answer that is none of the choices is wrong: it counts against the recall of the wanted choice, and for no choice's
precision.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ftkit.evaluation.metrics.metric import Metric, RatioMetric, RowMetric
from ftkit.results.report_row import RowResult
from ftkit.schema import ChoiceOutput

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["INVALID", "choice_metrics", "confusion"]

INVALID = "(invalid)"
"""Column of the confusion matrix for answers that are none of the choices."""


def choice_metrics(output: ChoiceOutput) -> tuple[Metric, ...]:
    """Accuracy, macro F1, and for each choice precision, recall and F1."""
    found: list[Metric] = [
        RowMetric(name="valid_rate", description="answers that are one of the choices", score=lambda row: row.valid),
        RowMetric(name="accuracy", description="answers that are the wanted choice", score=_right),
        MacroF1(
            name="macro_f1",
            description="mean F1 of the choices that were wanted or answered at least once",
            choices=tuple(output.choices),
        ),
    ]
    for choice in output.choices:
        found += [
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
        ]
    return tuple(found)


def confusion(rows: Sequence[RowResult], choices: Sequence[str]) -> list[list[int]]:
    """How often each wanted choice (rows) got each answer (columns: the choices, then :data:`INVALID`)."""
    place = {choice: index for index, choice in enumerate(choices)}
    counts = [[0] * (len(choices) + 1) for _ in choices]
    for row in rows:
        if row.has_target and row.target in place:
            counts[place[row.target]][place.get(row.value, len(choices)) if row.valid else len(choices)] += 1
    return counts


def _right(row: RowResult) -> bool | None:
    return row.valid and row.value == row.target if row.has_target else None


def _hits(row: RowResult, choice: str) -> tuple[float, float, float]:
    """Whether the row is right with, answers, and wants ``choice``."""
    if not row.has_target:
        return 0.0, 0.0, 0.0
    answered, wanted = row.valid and row.value == choice, row.target == choice
    return float(answered and wanted), float(answered), float(wanted)


@dataclass(frozen=True, kw_only=True)
class ChoiceRate(RatioMetric):
    """Precision, recall or F1 of one choice; not defined when the choice never comes up."""

    choice: str
    kind: Literal["precision", "recall", "f1"]

    def tally(self, row: RowResult) -> tuple[float, ...]:
        right, answered, wanted = _hits(row, self.choice)
        if self.kind == "precision":
            return right, answered
        if self.kind == "recall":
            return right, wanted
        return 2 * right, answered + wanted


@dataclass(frozen=True, kw_only=True)
class MacroF1(Metric):
    """The mean of the choices' F1, each choice weighing the same however rare it is."""

    choices: tuple[str, ...]

    def tally(self, row: RowResult) -> tuple[float, ...]:
        hits = [_hits(row, choice) for choice in self.choices]
        return tuple(2 * right for right, _, _ in hits) + tuple(answered + wanted for _, answered, wanted in hits)

    def combine(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        import numpy as np

        twice_right, either = np.split(sums, 2, axis=-1)
        scores = np.divide(twice_right, either, out=np.zeros_like(twice_right), where=either > 0)
        present = (either > 0).sum(axis=-1)
        undefined = np.full(np.shape(present), np.nan)
        mean: NDArray[np.float64] = np.divide(scores.sum(axis=-1), present, out=undefined, where=present > 0)
        return mean
