"""One turn in ShareGPT's form, ``from`` and ``value``, as a message in OpenAI's form."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from ftkit.data.formats.response_items import item_role
from ftkit.data.strict_json import parse_json
from ftkit.errors import DataError, Place

__all__ = ["SHAREGPT_FIELDS", "is_sharegpt_turn", "read_sharegpt_turn", "turn_role"]

SHAREGPT_FIELDS = {"role": "from", "content": "value", "tool_calls": "value", "tool_call_id": "from"}
"""Where a turn holds what OpenAI's form calls so, for errors."""

_ROLES = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "tool": "tool",
    "observation": "tool",
    "function_call": "assistant",
}


def is_sharegpt_turn(turn: Any) -> bool:
    """Say whether a turn is in ShareGPT's form.

    Args:
        turn: an element of a list of turns.

    Returns:
        Whether it has ``from`` or ``value``, and neither ``role`` nor ``content``.
    """
    return (
        isinstance(turn, Mapping)
        and ("from" in turn or "value" in turn)
        and turn.get("role") is None
        and turn.get("content") is None
    )


def turn_role(turn: Any) -> str | None:
    """Return the role of a turn of either form, without checking the turn.

    Args:
        turn: an element of a list of turns.

    Returns:
        The role in OpenAI's words; None if there is none that is known.
    """
    if is_sharegpt_turn(turn):
        return _ROLES.get(turn["from"]) if isinstance(turn.get("from"), str) else None
    role = turn.get("role") if isinstance(turn, Mapping) else None
    return role if isinstance(role, str) else item_role(turn)


def read_sharegpt_turn(turn: Mapping[str, Any], place: Place, field: str, keep: Collection[str]) -> dict[str, Any]:
    """Convert a turn to a message.

    A ``function_call`` turn holds ``{"name": …, "arguments": …}`` as JSON, or a list of such objects.

    Args:
        turn: the turn.
        place: of the row.
        field: of the turn in the row.
        keep: other keys that belong to the message. The rest is not a part of ShareGPT's form, e.g. a language.

    Returns:
        The message, which is not checked yet.

    Raises:
        DataError: the turn has no ``from`` that is a role, no ``value``, or a call that is none.
    """
    for name in ("from", "value"):
        if turn.get(name) is None:
            raise DataError("missing; a turn has from and value", place=place, field=f"{field}.{name}")
    role = _ROLES.get(turn["from"]) if isinstance(turn["from"], str) else None
    if role is None:
        raise DataError(
            f"{turn['from']!r:.60} is no role; it must be one of {', '.join(_ROLES)}",
            place=place,
            field=f"{field}.from",
            problem="role",
        )
    message: dict[str, Any] = {"role": role}
    if turn["from"] == "function_call":
        message["tool_calls"] = _calls(turn["value"], place, f"{field}.value")
    else:
        message["content"] = turn["value"]
    return message | {name: turn[name] for name in keep if turn.get(name) is not None}


def _calls(value: Any, place: Place, field: str) -> list[dict[str, Any]]:
    calls = parse_json(value, place, field) if isinstance(value, str) else value
    tool_calls = []
    for call in calls if isinstance(calls, list) else [calls]:
        if not isinstance(call, Mapping) or not isinstance(call.get("name"), str):
            raise DataError('must be {"name": …, "arguments": …} as JSON', place=place, field=field)
        tool_calls.append({"function": {"name": call["name"], "arguments": call.get("arguments", {})}})
    return tool_calls
