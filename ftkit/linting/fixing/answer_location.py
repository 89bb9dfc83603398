"""Where the wanted answer stands in a row as it was read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ftkit.data.row_reader import Options

__all__ = ["with_answer"]

_COLUMNS = {
    "openai": "messages",
    "prompt_completion": "completion",
    "alpaca": "output",
    "sharegpt": "conversations",
    "openai_preference": "preferred_output",
    "trl_preference": "chosen",
}
"""The column of each format that ends with the answer, or is it."""


def with_answer(
    columns: Mapping[str, Any], format_: str, options: Options, change: Callable[[Any], Any]
) -> dict[str, Any] | None:
    """A copy of the row with the answer changed; None when ``change`` leaves it as it is, or there is none."""
    named = options.target or options.chosen
    if named is not None:
        steps = [named] if named in columns else named.split(".")
    elif format_ in _COLUMNS:
        steps = [dict(options.columns).get(_COLUMNS[format_], _COLUMNS[format_])]
    else:
        return None
    return _changed(columns, steps, change if named is not None else _in_turn(change))


def _changed(value: Mapping[str, Any], steps: list[str], change: Callable[[Any], Any]) -> dict[str, Any] | None:
    first, *rest = steps
    if first not in value:
        return None
    inner = value[first]
    if rest:
        made = _changed(inner, rest, change) if isinstance(inner, Mapping) else None
        return None if made is None else {**value, first: made}
    made = change(inner)
    # Also the order of keys is a change, which == does not see.
    return None if made == inner and repr(made) == repr(inner) else {**value, first: made}


def _in_turn(change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """``change`` for a text, or for the text of the last turn of a list, when it is the assistant's."""

    def apply(value: Any) -> Any:
        if isinstance(value, str):
            return change(value)
        if not isinstance(value, list) or not value or not isinstance(value[-1], Mapping):
            return value
        last = value[-1]
        role, text = ("role", "content") if "role" in last else ("from", "value")
        if last.get(role) not in ("assistant", "gpt") or not isinstance(last.get(text), str):
            return value
        return [*value[:-1], {**last, text: change(last[text])}]

    return apply
