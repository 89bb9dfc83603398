"""Find where two schemas differ, for an error message."""

from __future__ import annotations

import json
from typing import Any

from ftkit.errors import ConfigError
from ftkit.schema import ChoiceOutput, JsonOutput, Output

__all__ = ["check_same_output", "first_difference", "output_difference"]


def output_difference(one: Output, other: Output) -> str | None:
    """Find where the answers that two outputs allow differ.

    Args:
        one: an output.
        other: another output.

    Returns:
        A text as of :func:`first_difference`; None if they allow the same.
    """
    if isinstance(one, JsonOutput) and isinstance(other, JsonOutput):
        return first_difference(one.json_schema, other.json_schema)
    if isinstance(one, ChoiceOutput) and isinstance(other, ChoiceOutput):
        return first_difference(list(one.choices), list(other.choices))
    return None if one.kind == other.kind else f"kind: {one.kind} and {other.kind}"


def check_same_output(cls: Any, ours: Output, its: Output) -> None:
    """Refuse a Python class whose answers are not those of a task.

    Args:
        cls: the class.
        ours: the task's output.
        its: the class's output.

    Raises:
        ConfigError: they differ; names the first difference.
    """
    difference = output_difference(ours, its)
    if difference is not None:
        name = getattr(cls, "__name__", repr(cls))
        raise ConfigError(f"{name} is not this task's output; the task's schema and {name}'s differ at {difference}")


def first_difference(one: Any, other: Any, path: str = "") -> str | None:
    """Find the first difference of two JSON values. The order of keys counts.

    Args:
        one: a JSON value.
        other: another JSON value.
        path: of both values in their documents.

    Returns:
        A text such as ``properties.age.type: "integer" and "string"``; None if they are equal.
    """
    if isinstance(one, dict) and isinstance(other, dict):
        for key in [*one, *(key for key in other if key not in one)]:
            here = f"{path}.{key}" if path else key
            if key not in one:
                return f"{here}: nothing and {_short(other[key])}"
            if key not in other:
                return f"{here}: {_short(one[key])} and nothing"
            if difference := first_difference(one[key], other[key], here):
                return difference
        if list(one) != list(other):
            return f"{path or 'the schema'}: the order {', '.join(one)} and the order {', '.join(other)}"
        return None
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        differences = (first_difference(*pair, f"{path}[{index}]") for index, pair in pairs)
        return next((difference for difference in differences if difference), None)
    return (
        None if json.dumps(one) == json.dumps(other) else f"{path or 'the schema'}: {_short(one)} and {_short(other)}"
    )


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:80] + "…"
