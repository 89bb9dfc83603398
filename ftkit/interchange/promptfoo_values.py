"""Values in promptfoo's configurations and results, in which variables stand in braces.

Source: https://www.promptfoo.dev/docs/configuration/expected-outputs/deterministic/ (``equals``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

__all__ = ["FILE", "VARIABLE", "as_text", "filled_in", "wanted_text"]

FILE = "file://"
VARIABLE = re.compile(r"\{\{-?[ \t]*([A-Za-z_][A-Za-z0-9_.]*)[ \t]*-?\}\}")
_CODE = ("{{", "{%", "{#")
_DEEPEST = 4
"""How often variables are filled in, whose values have variables."""


def filled_in(text: str, variables: Mapping[str, Any]) -> str | None:
    """Fill variables into a text, as promptfoo does before it uses it.

    Args:
        text: the text, e.g. ``"{{expected}}"``.
        variables: values by name.

    Returns:
        The text; None if a variable is missing, or if it has filters or code.
    """

    def value_of(match: re.Match[str]) -> str:
        value: Any = variables
        for name in match[1].split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
        return match[0] if value is None else as_text(value)

    for _ in range(_DEEPEST):
        if not any(code in text for code in _CODE):
            return text
        text = VARIABLE.sub(value_of, text)
    return None if any(code in text for code in _CODE) else text


def wanted_text(value: Any, variables: Mapping[str, Any]) -> str | None:
    """Return the answer that an ``equals`` assertion wants.

    Args:
        value: the assertion's value.
        variables: the test's variables.

    Returns:
        The text; None if it is in a file, or needs code.
    """
    if not isinstance(value, str):
        return None if value is None else as_text(value)
    return None if value.startswith(FILE) else filled_in(value, variables)


def as_text(value: Any) -> str:
    """Write a value as promptfoo compares it: whole numbers without a point, objects as JSON.

    Args:
        value: a JSON value.

    Returns:
        The text.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, ensure_ascii=False)
