"""Items of OpenAI's Responses API among messages, as chat messages.

Source: https://platform.openai.com/docs/api-reference/responses/create (``input``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ftkit.data.formats.content import REASONING, join_text_parts
from ftkit.data.formats.content_blocks import has_blocks, split_blocks
from ftkit.data.formats.learning_marks import LEARNING_MARKS, is_like_mark
from ftkit.errors import DataError, Place

__all__ = ["ITEM_KEYS", "chat_turns", "item_role"]

Turn = tuple[str, Any]
"""The field of a message, and the message."""

ITEM_KEYS = frozenset({"type", "status", "phase"})
"""Keys of a message item that say nothing to a model."""
_ROLES = {"function_call": "assistant", "reasoning": "assistant", "function_call_output": "tool"}
"""Types of items without a role to the role of the message that they become."""
_OTHER_ENDS = ("_call", "_call_output", "_approval_request", "_approval_response", "_list_tools", "_reference")
"""How the types of all other items end: tools that the host runs, and references to what it stores."""


def item_role(item: Any) -> str | None:
    """Return the role of the message that an item without a role becomes.

    Args:
        item: an element of a list of messages.

    Returns:
        The role; None for everything else, also for messages.
    """
    kind = item.get("type") if isinstance(item, Mapping) and item.get("role") is None else None
    return _ROLES.get(kind) if isinstance(kind, str) else None


def chat_turns(field: str, items: Sequence[Any], place: Place) -> list[Turn]:
    """Translate what is no chat message in a list of messages: blocks of contents, and items of the Responses API.

    A thought, the text after it and the calls after that become one turn of the assistant.

    Args:
        field: of the list in the row.
        items: the list.
        place: of the row.

    Returns:
        The messages, each with the field that errors name.

    Raises:
        DataError: a block or an item has another form, or cannot be learned.
    """
    turns = [(f"{field}[{number}]", item) for number, item in enumerate(items)]
    if any(_is_item(item) for item in items):
        turns = _join_items(turns, place)
    if any(has_blocks(item) for _, item in turns):
        turns = [
            turn
            for name, item in turns
            for turn in (split_blocks(item, place, name) if has_blocks(item) else [(name, item)])
        ]
    return turns


def _is_item(item: Any) -> bool:
    kind = item.get("type") if isinstance(item, Mapping) else None
    if not isinstance(kind, str):
        return False
    if item.get("role") is not None:
        return kind == "message"
    return kind in _ROLES or (kind.endswith(_OTHER_ENDS) and "content" not in item)


def _join_items(turns: Sequence[Turn], place: Place) -> list[Turn]:
    made: list[Turn] = []
    stage = 3
    """What the assistant's turn before holds at last: 0 a thought, 1 a text, 2 calls; 3 if nothing can be added."""
    for field, item in turns:
        kind = item.get("type") if _is_item(item) else None
        if kind is None or kind == "message":
            message = item if kind is None else {key: item[key] for key in item if key not in {*ITEM_KEYS, "id"}}
            is_answer = isinstance(message, Mapping) and message.get("role") == "assistant"
            if is_answer and stage == 0:
                _refuse_two_thoughts(message, place, field)
                made[-1] = (made[-1][0], {**made[-1][1], **message})
            else:
                made.append((field, message))
            stage = (3 if message.get("tool_calls") or has_blocks(message) else 1) if is_answer else 3
            continue
        _refuse_marks(item, place, field)
        if kind == "reasoning":
            thought = _thought(item, place, field)
            if thought and stage == 0:
                made[-1][1]["reasoning_content"] += thought
            elif thought:
                made.append((field, {"role": "assistant", "reasoning_content": thought}))
                stage = 0
        elif kind == "function_call":
            if stage > 2:
                made.append((field, {"role": "assistant"}))
            at, turn = made[-1]
            made[-1] = at, {**turn, "tool_calls": [*turn.get("tool_calls", ()), _call(item, place, field)]}
            stage = 2
        elif kind == "function_call_output":
            output = "" if item.get("output") is None else item["output"]
            identity = {} if item.get("call_id") is None else {"tool_call_id": item["call_id"]}
            made.append((field, {"role": "tool", "content": output, **identity}))
            stage = 3
        else:
            raise DataError(
                f"an item of type {kind!r:.60}, of a tool that its host runs or of what it stores; only messages, "
                "thoughts, function calls and their outputs can be learned",
                place=place,
                field=f"{field}.type",
            )
    return made


def _thought(item: Mapping[str, Any], place: Place, field: str) -> str:
    """The text of a thought; empty if the item says nothing."""
    content = [
        {"type": "text", "text": part.get("text")}
        if isinstance(part, Mapping) and part.get("type") == "reasoning_text"
        else part
        for part in item.get("content") or ()
    ]
    text = join_text_parts(content)
    if not isinstance(text, str):
        raise DataError("must be parts of reasoning_text", place=place, field=f"{field}.content")
    if text:
        return text
    for name, problem in (
        ("summary", "a summary of a thought, and not the thought itself, which the host hides"),
        ("encrypted_content", "an encrypted thought, which only its host can read"),
    ):
        if item.get(name):
            raise DataError(
                f"{problem}; leave the item out, or write a thought to reasoning_content of the answer",
                place=place,
                field=f"{field}.{name}",
            )
    return ""


def _call(item: Mapping[str, Any], place: Place, field: str) -> dict[str, Any]:
    for name in ("name", "arguments"):
        if not isinstance(item.get(name), str):
            raise DataError("must be a text", place=place, field=f"{field}.{name}")
    call = {"type": "function", "function": {"name": item["name"], "arguments": item["arguments"]}}
    return call if item.get("call_id") is None else {"id": item["call_id"], **call}


def _refuse_two_thoughts(message: Mapping[str, Any], place: Place, field: str) -> None:
    name = next((key for key in REASONING if message.get(key) not in (None, "")), None)
    if name is not None:
        raise DataError("another thought stands in the item before; keep one", place=place, field=f"{field}.{name}")


def _refuse_marks(item: Mapping[str, Any], place: Place, field: str) -> None:
    for name, value in item.items():
        if name in ("weight", *LEARNING_MARKS) or (isinstance(name, str) and is_like_mark(name, value)):
            raise DataError(
                "a mark of whether a turn is learned, on an item that is a part of a turn; write the turn as a chat "
                "message",
                place=place,
                field=f"{field}.{name:.60}",
            )
