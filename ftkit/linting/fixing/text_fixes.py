"""The mends: from an answer to the same answer, better written."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from ftkit.errors import OutputError
from ftkit.linting.json_wrapping import wrapping_of
from ftkit.linting.rules.safety import HARMLESS
from ftkit.linting.rules.style import key_orders
from ftkit.linting.spelling_variants import respelt, respelt_fields
from ftkit.schema import ChoiceOutput, JsonOutput
from ftkit.task import Task

__all__ = ["MENDS", "mended", "mended_value"]

MENDS = frozenset({"C001", "C006", "C008", "J007", "S005"})
"""Codes of the rules whose findings can be mended."""

_NOTHING = {ord(character): None for character in HARMLESS}


def mended(text: str, task: Task, codes: Collection[str]) -> str:
    """The answer ``text``, mended for the rules in ``codes``; as it is when there is nothing to mend.

    The same value is read from it as before, but for blanks at its ends, invisible characters without meaning, and the
    case of words that the schema spells otherwise. Mending twice is mending once.
    """
    made = text
    if "S005" in codes:
        made = made.translate(_NOTHING)
    if "C006" in codes:
        made = made.strip()
    while "C008" in codes and (wrapping := wrapping_of(made)) is not None and wrapping.kind == "fence":
        made = wrapping.inside
    if isinstance(task.output, ChoiceOutput) and "J007" in codes:
        made = respelt(made, task.output.choices) or made
    elif isinstance(task.output, JsonOutput):
        made = _mended_json(made, task.output, codes)
    return made if made.strip() else text


def mended_value(value: Any, task: Task, codes: Collection[str]) -> Any:
    """An answer that stands in its column as an object or a list."""
    if "S005" in codes:
        value = _without_invisible(value)
    if "J007" in codes and isinstance(value, dict) and isinstance(task.output, JsonOutput):
        value = {**value, **respelt_fields(value, task.output)}
    return value


def _mended_json(text: str, output: JsonOutput, codes: Collection[str]) -> str:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    made = value
    if "J007" in codes and isinstance(made, dict):
        made = {**made, **respelt_fields(made, output)}
    if "S005" in codes:
        made = _without_invisible(made)
    if "C001" in codes:
        made = _in_order(made, output)
    if made == value and key_orders(made) == key_orders(value):
        return text
    try:
        written = json.dumps(made, ensure_ascii=False, allow_nan=False)
    except ValueError:
        return text
    return written if json.loads(written) == made else text


def _in_order(value: Any, output: JsonOutput) -> Any:
    """``value`` with its keys in the schema's order; as it is when the schema does not allow it."""
    try:
        ordered = json.loads(output.format(value))
    except OutputError:
        return value
    return ordered if ordered == value else value  # defaults that were filled in are another value


def _without_invisible(value: Any) -> Any:
    if isinstance(value, str):
        return value.translate(_NOTHING)
    if isinstance(value, list):
        return [_without_invisible(item) for item in value]
    if isinstance(value, dict):
        return {name: _without_invisible(item) for name, item in value.items()}
    return value
