"""Answers held to a schema by the host: ``response_format``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ftkit.schema import JsonOutput, Output

__all__ = ["response_format"]

_STRICT_KEYWORDS = frozenset(
    (
        *("type", "properties", "required", "additionalProperties", "items", "enum", "const", "anyOf", "$ref", "$defs"),
        *("definitions", "description", "pattern", "format", "multipleOf", "maximum", "exclusiveMaximum", "minimum"),
        *("exclusiveMinimum", "minItems", "maxItems"),
    )
)
"""What strict mode understands (OpenAI, "Structured model outputs", supported schemas)."""


def response_format(output: Output | None, *, strict: bool) -> dict[str, Any] | None:
    """The request's ``response_format``; ``None`` when the host cannot be asked to hold the answer to ``output``.

    Keywords the host does not know are left out, so the host may let through what the task's own check then refuses;
    never the other way round. A schema that cannot be made strict is sent as a hint.

    Args:
        strict: whether the host offers strict schemas.
    """
    if not isinstance(output, JsonOutput) or output.json_schema.get("type") != "object":
        return None
    schema = _cleaned(output.json_schema)
    held = {"name": re.sub(r"[^A-Za-z0-9_-]", "_", output.name)[:64] or "answer", "schema": schema}
    if strict:
        held["strict"] = _is_strict(schema)
    return {"type": "json_schema", "json_schema": held}


def _cleaned(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_cleaned(one) for one in schema]
    if not isinstance(schema, Mapping):
        return schema
    found: dict[str, Any] = {}
    for word, value in schema.items():
        if word in ("properties", "$defs", "definitions"):
            found[word] = {name: _cleaned(inner) for name, inner in value.items()}
        elif word == "enum" or word == "const":
            found[word] = value
        elif word in _STRICT_KEYWORDS:
            found[word] = _cleaned(value)
    return found


def _is_strict(schema: Any) -> bool:
    """Whether every object lists all its keys as required and takes no others, as strict mode wants."""
    if isinstance(schema, list):
        return all(map(_is_strict, schema))
    if not isinstance(schema, Mapping):
        return True
    if schema.get("type") == "object" or "properties" in schema:
        names = set(schema.get("properties", {}))
        if schema.get("additionalProperties") is not False or set(schema.get("required", ())) != names:
            return False
    nested = [*schema.get("properties", {}).values(), *schema.get("$defs", {}).values()]
    return all(map(_is_strict, (*nested, schema.get("items"), schema.get("anyOf"))))
