"""A reward model: how good an answer is, as a number."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from ftkit.backends import Backend, backend_of
from ftkit.backends.grading import scores_of
from ftkit.data import Dataset
from ftkit.errors import DataError
from ftkit.model.by_name import pickled_name, shared_copy
from ftkit.task import Message

__all__ = ["Scorer"]


class Scorer:
    """Scores answers with a reward model, as ``ft.train(ft.RewardModel(), pairs, …)`` trains it.

    A single score means nothing; the difference of two scores for one prompt is the log-odds that the first answer is
    preferred (Bradley and Terry 1952). The model is loaded at the first score, shared with all other ``Scorer`` objects
    of its name, and unloaded as :class:`ftkit.Model` is.

    Args:
        name: ``"local:<id of a run>"`` or ``"local:<folder>"``, or a backend object.

    Raises:
        ConfigError: the backend has no reward models.
    """

    def __init__(self, name: str | Backend) -> None:
        self._backend = backend_of(name)
        self._spec = f"{self._backend.name}:{self._backend.model}" if isinstance(name, str) else None
        self._scores = scores_of(self._backend)

    def __repr__(self) -> str:
        return f"Scorer({self._backend.name}:{self._backend.model!r})"

    def __copy__(self) -> Self:
        return shared_copy(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return shared_copy(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (pickled_name(self._spec, self._backend, "Scorer"),)

    def close(self) -> None:
        """Unload the model, at once or, if it is being used, afterwards. It is loaded again when it is used again."""
        close = getattr(self._backend, "close", None)
        if close is not None:
            close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def score_many(self, conversations: Sequence[Sequence[Message]]) -> list[float]:
        """Score the last assistant turn of each conversation.

        Args:
            conversations: each ends with an assistant turn.

        Returns:
            One score per conversation, in their order.

        Raises:
            ModelError: this is not a reward model.
            DataError: a conversation does not end with an assistant turn, or is too long.
        """
        return self._scores(conversations)

    def score(self, messages: Sequence[Message]) -> float:
        """Score the last assistant turn of one conversation.

        Args:
            messages: the conversation.

        Returns:
            Its score.
        """
        return self.score_many([messages])[0]

    def accuracy(self, data: Dataset) -> float:
        """Measure how often the chosen answer scores higher than the rejected one.

        Args:
            data: preferences.

        Returns:
            Share of the pairs, 0 to 1.

        Raises:
            DataError: the rows are not preferences.
        """
        if data.kind != "preferences":
            raise DataError("accuracy needs preferences: rows with a chosen and a rejected answer")
        pairs = [messages for row in data for messages in (row.messages, row.rejected_messages)]
        scores = self.score_many(pairs)
        return sum(chosen > rejected for chosen, rejected in zip(scores[::2], scores[1::2], strict=True)) / len(data)
