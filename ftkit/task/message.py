"""One turn of a conversation."""

from __future__ import annotations

from typing import Any, TypedDict

__all__ = ["Message"]


class Message(TypedDict, total=False):
    """A message in OpenAI's chat form; a plain dict everywhere in ftkit.

    Attributes:
        role: ``system``, ``developer``, ``user``, ``assistant`` or ``tool``.
        content: the text; a list of parts where a host allows it; None beside ``tool_calls``.
        reasoning_content: what an assistant thought before it answered, where it is not in the content.
        name: the speaker, where several have the same role.
        tool_calls: the calls that an assistant turn makes.
        tool_call_id: the call that a tool turn answers.
        weight: 0 means that an assistant turn is not learned; 1 is the same as no weight.
    """

    role: str
    content: Any
    reasoning_content: str
    name: str
    tool_calls: list[dict[str, Any]]
    tool_call_id: str
    weight: float
