"""Fixes of answers that leave their meaning unchanged."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from ftkit.errors import OutputError
from ftkit.linting.enum_spelling import allowed_spelling, respelled_fields
from ftkit.linting.json_answers import find_wrapping
from ftkit.linting.rules.safety import remove_ignorable
from ftkit.linting.rules.style import key_orders
from ftkit.linting.text_normalization import is_indented
from ftkit.schema import ChoiceOutput, JsonOutput
from ftkit.task import Task

__all__ = ["FIXABLE_CODES", "fix_answer_text", "fix_answer_value"]

FIXABLE_CODES = frozenset({"C001", "C006", "C008", "J007", "S005"})
"""Codes of the rules whose findings can be fixed."""


def fix_answer_text(text: str, task: Task, codes: Collection[str]) -> str:
    """Fix an answer that is text.

    The fixed answer has the same value, except for whitespace at its ends (which is content of an indented text, such
    as code, and stays), invisible characters without meaning, and
    the case of words that the schema spells differently. Fixing it again changes nothing.

    Args:
        text: the answer.
        task: the task of the rows.
        codes: rules whose findings are fixed.

    Returns:
        The fixed answer; ``text`` if there is nothing to fix.
    """
    fixed = text
    if "S005" in codes:
        fixed = remove_ignorable(fixed)
    if "C006" in codes and not (task.output.kind == "text" and is_indented(fixed)):
        fixed = fixed.strip()
    while "C008" in codes and (wrapping := find_wrapping(fixed)) is not None and wrapping.kind == "fence":
        fixed = wrapping.inside
    if isinstance(task.output, ChoiceOutput) and "J007" in codes:
        fixed = allowed_spelling(fixed, task.output.choices) or fixed
    elif isinstance(task.output, JsonOutput):
        fixed = _fix_json(fixed, task.output, codes)
    return fixed if fixed.strip() else text


def fix_answer_value(value: Any, task: Task, codes: Collection[str]) -> Any:
    """Fix an answer that is an object or a list in its column.

    Args:
        value: the answer.
        task: the task of the rows.
        codes: rules whose findings are fixed.

    Returns:
        The fixed answer.
    """
    if "S005" in codes:
        value = _without_ignorable(value)
    if "J007" in codes and isinstance(value, dict) and isinstance(task.output, JsonOutput):
        value = {**value, **respelled_fields(value, task.output)}
    return value


def _fix_json(text: str, output: JsonOutput, codes: Collection[str]) -> str:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    fixed = value
    if "J007" in codes and isinstance(fixed, dict):
        fixed = {**fixed, **respelled_fields(fixed, output)}
    if "S005" in codes:
        fixed = _without_ignorable(fixed)
    if "C001" in codes:
        fixed = _in_schema_order(fixed, output)
    if fixed == value and key_orders(fixed) == key_orders(value):
        return text
    try:
        fixed_text = json.dumps(fixed, ensure_ascii=False, allow_nan=False)
    except ValueError:
        return text
    return fixed_text if json.loads(fixed_text) == fixed else text


def _in_schema_order(value: Any, output: JsonOutput) -> Any:
    """``value`` with its keys in the schema's order; unchanged if the schema does not allow it."""
    try:
        ordered = json.loads(output.format(value))
    except OutputError:
        return value
    return ordered if ordered == value else value  # filled-in defaults would change the value


def _without_ignorable(value: Any) -> Any:
    if isinstance(value, str):
        return remove_ignorable(value)
    if isinstance(value, list):
        return [_without_ignorable(item) for item in value]
    if isinstance(value, dict):
        return {name: _without_ignorable(item) for name, item in value.items()}
    return value
