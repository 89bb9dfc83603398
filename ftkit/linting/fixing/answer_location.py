"""Replace the answer in the columns of a row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ftkit.data.options import ReadOptions

__all__ = ["replace_answer"]

_COLUMNS = {
    "openai": "messages",
    "prompt_completion": "completion",
    "trl_unpaired_preference": "completion",
    "alpaca": "output",
    "sharegpt": "conversations",
    "sharegpt_preference": "chosen",
    "openai_preference": "preferred_output",
    "trl_preference": "chosen",
}
"""By format, the column that is the answer or ends with it."""


def replace_answer(
    columns: Mapping[str, Any], format_: str, options: ReadOptions, change: Callable[[Any], Any]
) -> dict[str, Any] | None:
    """Copy the columns of a row with another answer.

    Args:
        columns: the columns as read.
        format_: name of the row's format.
        options: which columns mean what.
        change: makes the new answer of the old one.

    Returns:
        The new columns; None if the answer does not change, or there is none.
    """
    named = options.target or options.chosen
    if named is not None:
        keys = [named] if named in columns else named.split(".")
    elif format_ in _COLUMNS:
        keys = [dict(options.columns).get(_COLUMNS[format_], _COLUMNS[format_])]
    else:
        return None
    return _changed(columns, keys, change if named is not None else _of_last_turn(change))


def _changed(value: Mapping[str, Any], keys: list[str], change: Callable[[Any], Any]) -> dict[str, Any] | None:
    first, *rest = keys
    if first not in value:
        return None
    inner = value[first]
    if rest:
        nested = _changed(inner, rest, change) if isinstance(inner, Mapping) else None
        return None if nested is None else {**value, first: nested}
    changed = change(inner)
    # repr also shows another order of keys, which == does not.
    return None if changed == inner and repr(changed) == repr(inner) else {**value, first: changed}


def _of_last_turn(change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """``change`` for a text, or for the text of the last turn of a list if it is the assistant's."""

    def apply(value: Any) -> Any:
        if isinstance(value, str):
            return change(value)
        if isinstance(value, Mapping):
            return turn(value)
        return [*value[:-1], turn(value[-1])] if isinstance(value, list) and value else value

    def turn(last: Any) -> Any:
        if not isinstance(last, Mapping):
            return last
        role, text = ("role", "content") if "role" in last else ("from", "value")
        if last.get(role) not in ("assistant", "gpt") or not isinstance(last.get(text), str):
            return last
        return {**last, text: change(last[text])}

    return apply
