"""Refuse a conversation of which a chat template leaves something out, so that nothing is lost in silence."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from ftkit.errors import DataError, Place
from ftkit.modeling.rendered_parts import Part

__all__ = ["changed_text", "left_out_by_design", "refuse_changed", "refuse_left_out"]

_INTERNAL = re.compile("[\ufdd0-\ufdef]")
"""Characters that mark texts of control tokens."""
_ANOTHER = "use another template (chat_template=), or leave it out"


def refuse_left_out(
    parts: Sequence[Part],
    messages: Sequence[dict[str, Any]],
    *,
    learned: int | None,
    place: Place | None = None,
) -> None:
    """Refuse what the template leaves out, except what templates leave out of earlier turns by design.

    Args:
        parts: the parts of the rendered conversation.
        messages: the conversation.
        learned: index of the turn that is learned; None if the conversation is only a prompt.
        place: file and line of the row, for errors.

    Raises:
        DataError: something is left out; names the field.
    """
    for part in parts:
        if part.found or _is_by_design(part, messages, learned):
            continue
        message, field = _problem(part, messages)
        raise DataError(message, place=place, field=field)


def refuse_changed(parts: Sequence[Part], *, learned: int, place: Place | None = None) -> None:
    """Refuse a turn whose text the template changes, because something else would be learned than is written.

    Args:
        parts: the parts of the rendered conversation.
        learned: index of the turn that is learned.
        place: file and line of the row, for errors.

    Raises:
        DataError: the text is changed; names the field.
    """
    for part in parts:
        if part.message == learned and part.rendered_as is not None:
            problem = f"{changed_text(part)}; use another template (chat_template=)"
            raise DataError(problem, place=place, field=part.field)


def changed_text(part: Part) -> str:
    """Say how a template changes a text.

    Args:
        part: a part that is rendered as another text.

    Returns:
        A sentence, which shows where the two begin to differ.
    """
    written, rendered = (_INTERNAL.sub("", text) for text in (part.text, part.rendered_as or ""))
    at = next((n for n, (one, two) in enumerate(zip(written, rendered, strict=False)) if one != two), 0)
    begin = max(0, at - 10)
    return (
        f"the chat template changes the text: written {written[begin : begin + 40]!r}, "
        f"rendered {rendered[begin : begin + 40]!r}"
    )


def left_out_by_design(
    parts: Sequence[Part], messages: Sequence[dict[str, Any]], *, learned: int | None
) -> Iterator[Part]:
    """List what the template leaves out and :func:`refuse_left_out` accepts.

    Args:
        parts: the parts of the rendered conversation.
        messages: the conversation.
        learned: index of the turn that is learned; None if the conversation is only a prompt.

    Yields:
        The parts.
    """
    yield from (part for part in parts if not part.found and _is_by_design(part, messages, learned))


def _is_by_design(part: Part, messages: Sequence[dict[str, Any]], learned: int | None) -> bool:
    if part.message is None or part.message == learned:
        return False
    if part.kind in ("thought", "reasoning"):
        return True
    if part.kind == "name":
        return learned is None  # clients send names that no model of the template reads
    # A model never wrote a text that its template does not render beside tool calls, but clients send it back.
    return learned is None and _is_beside_calls(part, messages)


def _is_beside_calls(part: Part, messages: Sequence[dict[str, Any]]) -> bool:
    return part.kind == "content" and part.message is not None and bool(messages[part.message].get("tool_calls"))


def _problem(part: Part, messages: Sequence[dict[str, Any]]) -> tuple[str, str]:
    """What is wrong, and the field."""
    shown = _INTERNAL.sub("", part.text)[:60]
    if part.message is None:
        if part.field.endswith(".name"):
            return "the model's chat template leaves out the tools", "tools"
        return f"the model's chat template leaves out {shown!r}; {_ANOTHER}", part.field
    at = f"messages[{part.message}]"
    if part.kind == "name":
        return f"the model's chat template leaves out the name {shown!r}; {_ANOTHER}", part.field
    if part.kind == "call":
        return "the model's chat template leaves out tool calls, so they could not be learned", f"{at}.tool_calls"
    if part.kind == "reasoning":
        key = part.field.rpartition(".")[2]
        return (
            f"the model's chat template leaves out {key}, so it could not be learned. Train a model whose "
            "template renders it, write it into the content as the model does, or leave it out",
            part.field,
        )
    if part.kind == "thought":
        return (
            "the model's chat template leaves out the thought in the content, so it could not be learned; " + _ANOTHER,
            part.field,
        )
    if _is_beside_calls(part, messages):
        return (
            "the model's chat template leaves out the text beside tool calls; " + _ANOTHER,
            part.field,
        )
    role = messages[part.message].get("role")
    return f"the model's chat template leaves out the {role} message: {shown!r}; {_ANOTHER}", part.field
