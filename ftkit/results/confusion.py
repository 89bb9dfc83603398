"""Which choices a model takes for which others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ftkit.results.report_row import RowResult

__all__ = ["INVALID", "ChoiceErrors", "ConfusedPair", "Confusion", "confusion_of"]

INVALID = "(invalid)"
"""Column of the confusion matrix for answers that are none of the choices."""


@dataclass(frozen=True, slots=True)
class ConfusedPair:
    """A wanted choice and another answer that was given instead.

    Attributes:
        wanted: The wanted choice.
        answered: The answered choice, or :data:`INVALID`.
        count: Number of rows.
        share: Share of the rows that want the choice.
    """

    wanted: str
    answered: str
    count: int
    share: float


@dataclass(frozen=True, slots=True)
class ChoiceErrors:
    """How one choice is answered.

    Attributes:
        choice: The choice.
        wanted: Rows that want it.
        answered: Rows that are answered with it.
        right: Rows of both kinds.
    """

    choice: str
    wanted: int
    answered: int
    right: int

    @property
    def recall(self) -> float | None:
        """Share of the rows that want it and are answered so; None if none wants it."""
        return self.right / self.wanted if self.wanted else None

    @property
    def precision(self) -> float | None:
        """Share of the rows answered with it that want it; None if none is."""
        return self.right / self.answered if self.answered else None

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall; None if the choice is neither wanted nor answered."""
        return 2 * self.right / (self.wanted + self.answered) if self.wanted + self.answered else None


@dataclass(frozen=True, slots=True)
class Confusion:
    """The confusion matrix of a task with choices.

    Attributes:
        choices: The choices.
        counts: Number of rows: one row for each wanted choice; the columns are the answered choices and then
            :data:`INVALID`.
    """

    choices: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]

    def pairs(self, limit: int | None = None) -> list[ConfusedPair]:
        """List the confused pairs, the most frequent first.

        Args:
            limit: Largest number of pairs; all by default.

        Returns:
            The pairs.
        """
        columns = (*self.choices, INVALID)
        found = [
            ConfusedPair(wanted, columns[at], count, count / sum(counts))
            for own, (wanted, counts) in enumerate(zip(self.choices, self.counts, strict=True))
            for at, count in enumerate(counts)
            if count and at != own
        ]
        found.sort(key=lambda pair: (-pair.count, -pair.share))
        return found[:limit]

    def errors(self, limit: int | None = None) -> list[ChoiceErrors]:
        """List how each choice is answered, that with the lowest F1 first; choices that do not occur are left out.

        Args:
            limit: Largest number of choices; all by default.

        Returns:
            The choices.
        """
        answered = [sum(column) for column in zip(*self.counts, strict=True)]
        found = [
            ChoiceErrors(choice, sum(counts), answered[at], counts[at])
            for at, (choice, counts) in enumerate(zip(self.choices, self.counts, strict=True))
        ]
        occurring = [each for each in found if each.f1 is not None]
        occurring.sort(key=lambda each: (each.f1 or 0.0, -each.wanted))
        return occurring[:limit]

    def __str__(self) -> str:
        pairs = [f"{pair.wanted} → {pair.answered}: {pair.count}" for pair in self.pairs()]
        return "\n".join(pairs) or "no choice is confused with another"


def confusion_of(rows: Sequence[RowResult], choices: Sequence[str]) -> Confusion:
    """Compute the confusion matrix.

    Args:
        rows: Rows with their answers; those without a target are left out.
        choices: The choices of the output.

    Returns:
        The matrix.
    """
    position = {choice: index for index, choice in enumerate(choices)}
    counts = [[0] * (len(choices) + 1) for _ in choices]
    for row in rows:
        if row.has_target and row.target in position:
            column = position.get(row.value, len(choices)) if row.valid else len(choices)
            counts[position[row.target]][column] += 1
    return Confusion(tuple(choices), tuple(map(tuple, counts)))
