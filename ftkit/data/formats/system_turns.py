"""Join several system turns at the beginning of a conversation: a row has one system turn."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["one_system_turn"]


def one_system_turn(turns: Sequence[Any]) -> list[Any]:
    """Join the system turns at the beginning of a conversation, with a blank line between them.

    Args:
        turns: messages in OpenAI's form.

    Returns:
        The messages. The joined turn has the role of the first one.
    """

    def is_system(turn: Any) -> bool:
        return isinstance(turn, Mapping) and turn.get("role") in ("system", "developer")

    begin = list(itertools.takewhile(is_system, turns))
    texts = [turn.get("content") for turn in begin]
    if len(begin) < 2 or not all(isinstance(text, str) for text in texts):
        return list(turns)
    return [{"role": begin[0]["role"], "content": "\n\n".join(texts)}, *turns[len(begin) :]]
