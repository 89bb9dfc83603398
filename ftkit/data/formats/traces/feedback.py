"""What users and graders said of a call, from several scores."""

from __future__ import annotations

from typing import Any

from ftkit.data.formats.traces.base import judged, number_of

__all__ = ["Judgements"]


class Judgements:
    """Scores of one call, and the judgements among them. One that is bad decides; of equal names the smallest counts.

    Attributes:
        scores: the scores by name.
        feedback: whether the call was found good; None if nobody said.
        scaled: the judgements that are numbers alone, by name, among them those above 1, which say nothing.
    """

    def __init__(self) -> None:
        self.scores: dict[str, float] = {}
        self.scaled: dict[str, float] = {}
        self.feedback: bool | None = None

    def add(self, name: str, value: Any, label: Any = None, *, is_judgement: bool = True) -> None:
        """Take one more score.

        Args:
            name: its name.
            value: its number, boolean or word.
            label: its word, beside a number. A word that is not known says nothing, and neither does its number then,
                which may be the index of a category.
            is_judgement: whether it says that the answer is good or bad.
        """
        number = number_of(value)
        if number is not None:
            self.scores[name] = min(number, self.scores.get(name, number))
        if not is_judgement:
            return
        if isinstance(label, str) and label.strip():
            found = judged(label)
        else:
            found = judged(value)
            if number is not None and not isinstance(value, bool):
                self.scaled[name] = max(number, self.scaled.get(name, number))
        self.feedback = found if self.feedback is None or found is False else self.feedback
