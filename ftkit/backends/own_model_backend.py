"""What backends share whose models run on machines of one's own: scores, embeddings, and unloading."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

from ftkit.backends.protocol import Backend
from ftkit.errors import HostError
from ftkit.task import Message

__all__ = ["OwnModelBackend"]


class OwnModelBackend(Backend):
    """A backend whose answerer also scores, embeds, and can be closed."""

    def weights(self) -> Any:
        """Return the model, for what answers alone do not tell.

        Returns:
            What scores and embeds.
        """
        return self.answerer()

    def scores(self, conversations: Sequence[Sequence[Message]]) -> list[float]:
        """Score conversations with a reward model.

        Args:
            conversations: each ends with an assistant turn.

        Returns:
            One score per conversation.

        Raises:
            ModelError: this is not a reward model.
            DataError: a conversation cannot be scored.
        """
        found: list[float] = self.weights().scores(conversations)
        return found

    def embeddings(self, texts: Sequence[str]) -> list[list[float]]:
        """Embed texts: the mean of the model's last hidden states over the tokens of each.

        Args:
            texts: the texts.

        Returns:
            One vector of the model's hidden size per text.

        Raises:
            ModelError: the model cannot be loaded.
            DataError: a text is longer than it takes.
        """
        found: list[list[float]] = self.weights().embeddings(texts)
        return found

    def close(self) -> None:
        """Unload the model, at once or, if somebody is asking it, afterwards. It is loaded again when it is asked."""
        answerer: Any = self.answerer()
        with contextlib.suppress(HostError):  # a model on a machine that cannot be reached ends with its connection
            answerer.close()
