"""A conversation as a chat template takes it, and the turns of it that are learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ftkit.errors import DataError, Place
from ftkit.task import Message

__all__ = ["ShieldedConversation", "supervised_turns", "without_loss"]


@dataclass(frozen=True, slots=True)
class ShieldedConversation:
    """A conversation in the form that a chat template takes.

    Attributes:
        messages: the messages.
        tools: the tools offered; None if there are none.
        shield: a character that stands in the text of each control token in the messages; empty if there is none.
    """

    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] | None
    shield: str

    def shown(self, text: str) -> str:
        """Return the end of a rendered text, for messages.

        Args:
            text: the text.

        Returns:
            Its last 60 characters, without the shield.
        """
        return text.replace(self.shield, "")[-60:] if self.shield else text[-60:]


def supervised_turns(messages: Sequence[Message], place: Place | None) -> list[int]:
    """List the turns that are learned.

    Args:
        messages: the conversation, in OpenAI's chat form.
        place: file and line of the row, for errors.

    Returns:
        The indices of the assistant's turns whose weight is not 0.

    Raises:
        DataError: there is none, or the first one answers nothing.
    """
    found = [i for i, m in enumerate(messages) if m.get("role") == "assistant" and m.get("weight", 1) != 0]
    if not found:
        raise DataError(
            "no assistant turn to learn from (none there, or all of weight 0); leave the row out", place=place
        )
    if found[0] == 0:
        raise DataError(
            "nothing is asked before the assistant's first turn; give it weight 0, or write a question before it",
            place=place,
            field="messages[0]",
        )
    return found


def without_loss(message: Message) -> Message:
    """Give an assistant's turn weight 0.

    Args:
        message: the message.

    Returns:
        A copy; a message of another role as it is.
    """
    return {**message, "weight": 0} if message.get("role") == "assistant" else message
