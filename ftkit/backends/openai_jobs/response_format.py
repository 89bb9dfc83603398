"""``response_format`` of a request: the host restricts answers to a JSON Schema."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ftkit.errors import ConfigError
from ftkit.schema import JsonOutput, Output
from ftkit.schema.strict_schema import STRICT_FORMATS, STRICT_KEYWORDS, check_strict

__all__ = ["response_format"]


def response_format(output: Output | None, *, strict: bool) -> dict[str, Any] | None:
    """Return ``response_format`` of a request.

    Keywords that the host does not know are left out, so the host may accept an answer that the task refuses, but never
    the reverse. A schema that cannot be strict is sent as a hint.

    Args:
        output: the task's output.
        strict: whether the host offers strict schemas.

    Returns:
        The JSON object; None if the output is not a JSON object with a schema.
    """
    if not isinstance(output, JsonOutput) or output.json_schema.get("type") != "object":
        return None
    schema = _supported(output.json_schema)
    body = {"name": re.sub(r"[^A-Za-z0-9_-]", "_", output.name)[:64] or "answer", "schema": schema}
    if strict:
        body["strict"] = _is_strict(schema)
    return {"type": "json_schema", "json_schema": body}


def _supported(schema: Any) -> Any:
    """The schema with supported keywords only."""
    if isinstance(schema, list):
        return [_supported(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    kept: dict[str, Any] = {}
    for keyword, value in schema.items():
        if keyword in ("properties", "$defs", "definitions"):
            kept[keyword] = {name: _supported(inner) for name, inner in value.items()}
        elif keyword in ("enum", "const"):
            kept[keyword] = value
        elif keyword == "oneOf" and "anyOf" not in schema:
            kept["anyOf"] = _supported(value)  # of a tagged union no two branches hold at once
        elif keyword in STRICT_KEYWORDS and (keyword != "format" or value in STRICT_FORMATS):
            kept[keyword] = _supported(value)
    return kept


def _is_strict(schema: dict[str, Any]) -> bool:
    """Whether strict mode takes the schema; it refuses the whole request otherwise."""
    try:
        check_strict(schema)
    except ConfigError:
        return False
    return True
