"""A reward model: how good an answer is, as a number."""

from __future__ import annotations

from collections.abc import Sequence

from ftkit.backends import Backend, backend_of
from ftkit.backends.grading import scores_of
from ftkit.data import Dataset
from ftkit.errors import DataError
from ftkit.task import Message

__all__ = ["Scorer"]


class Scorer:
    """Scores answers with a reward model, as ``ft.train(ft.RewardModel(), pairs, …)`` makes them.

    A score says nothing by itself; the difference of two scores for one prompt is the log-odds that the first answer is
    preferred (Bradley and Terry).

    Args:
        name: ``"local:<id of a run>"`` or ``"local:<folder>"``, or a backend object.

    Raises:
        ConfigError: the backend gives no scores.
    """

    def __init__(self, name: str | Backend) -> None:
        self._backend = backend_of(name)
        self._scores = scores_of(self._backend)

    def __repr__(self) -> str:
        return f"Scorer({self._backend.name}:{self._backend.model!r})"

    def score_many(self, conversations: Sequence[Sequence[Message]]) -> list[float]:
        """The score of the last assistant turn of each conversation, in their order.

        Raises:
            ModelError: this is no reward model.
            DataError: a conversation that does not end with an assistant turn, or is too long.
        """
        return self._scores(conversations)

    def score(self, messages: Sequence[Message]) -> float:
        """As :meth:`score_many`, for one conversation."""
        return self.score_many([messages])[0]

    def accuracy(self, data: Dataset) -> float:
        """Share of the pairs in which the chosen answer has the higher score.

        Raises:
            DataError: the rows are no preferences.
        """
        if data.kind != "preferences":
            raise DataError("accuracy needs preferences: rows with a chosen and a rejected answer")
        pairs = [messages for row in data for messages in (row.messages, row.rejected_messages)]
        scores = self.score_many(pairs)
        return sum(chosen > rejected for chosen, rejected in zip(scores[::2], scores[1::2], strict=True)) / len(data)
