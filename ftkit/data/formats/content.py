"""The content of a message: a text, or a list of parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ftkit.data.strict_json import canonical_json
from ftkit.task import Message

__all__ = ["REASONING", "answer_key", "join_text_parts", "read_parts_of_text", "text_content"]

REASONING = ("reasoning_content", "reasoning", "thinking")
"""Keys of a message with what the model thinks before it answers."""
_TEXT_TYPES = ("text", "input_text", "output_text")
"""Types of a part of text in OpenAI's two APIs."""


def text_content(message: Message) -> str | None:
    """Return the text of a message.

    Args:
        message: the message.

    Returns:
        The text, of several parts joined; None if there is none, as in a turn that only calls tools.
    """
    content: Any = message.get("content")
    if isinstance(content, list):
        return "".join(part["text"] for part in content if part["type"] == "text")
    return content if isinstance(content, str) else None


def answer_key(message: Message) -> tuple[str, list[tuple[str, str]], list[str]]:
    """Return what makes two answers different.

    Args:
        message: an answer.

    Returns:
        The text without whitespace around it, with the other parts; the calls; and the reasoning.
    """
    calls = [(call["function"]["name"], call["function"]["arguments"]) for call in message.get("tool_calls") or ()]
    content = message.get("content")
    parts = content if isinstance(content, list) else []
    other = [part for part in parts if part["type"] != "text"]
    thoughts = [str(message.get(key) or "").strip() for key in REASONING]
    return (text_content(message) or "").strip() + (canonical_json(other) if other else ""), calls, thoughts


def read_parts_of_text(content: Any) -> Any:
    """Return a content with its parts of text in one form.

    Parts of text are ``{"type": "text", "text": …}``, the same with ``input_text`` and ``output_text`` (OpenAI's
    Responses API), ``{"text": …}`` alone (Bedrock), and plain texts.

    Args:
        content: a text, a part, a list of parts, or None.

    Returns:
        A list in which each part of text is ``{"type": "text", "text": …}`` and every other part is as it was;
        ``content`` itself if it is neither a list nor a part of text.
    """
    if isinstance(content, Mapping):
        only = _part(content)
        return content if only is content else [only]
    return [_part(part) for part in content] if isinstance(content, list) else content


def _part(part: Any) -> Any:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    if not isinstance(part, Mapping) or not isinstance(part.get("text"), str):
        return part
    kind = part.get("type")
    is_text = kind in _TEXT_TYPES if isinstance(kind, str) else kind is None and set(part) <= {"text", "type"}
    return {**part, "type": "text"} if is_text else part


def join_text_parts(content: Any) -> Any:
    """Return the content of a message with its parts joined, if all of them are text.

    Args:
        content: a text, a list of parts, or None.

    Returns:
        The text; ``content`` with its parts in one form if a part is something else than text.
    """
    parts = read_parts_of_text(content)
    is_text = isinstance(parts, list) and all(
        isinstance(part, Mapping) and part.get("type") == "text" and isinstance(part.get("text"), str) for part in parts
    )
    return "".join(part["text"] for part in parts) if is_text else parts
