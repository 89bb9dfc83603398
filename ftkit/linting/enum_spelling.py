"""Values that differ from an allowed value only in case and whitespace."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from ftkit.schema import JsonOutput

__all__ = ["allowed_spelling", "respelled_fields"]


def allowed_spelling(value: Any, allowed: Collection[Any]) -> str | None:
    """Return the allowed value that a value differs from only in case and whitespace around it.

    Args:
        value: the value.
        allowed: the allowed values.

    Returns:
        The allowed value; None if there is none, several, or ``value`` itself is allowed.
    """
    if not isinstance(value, str) or value in allowed:
        return None
    plain = value.strip().casefold()
    matching = [item for item in allowed if isinstance(item, str) and item.casefold() == plain]
    return matching[0] if len(matching) == 1 else None


def respelled_fields(value: dict[str, Any], output: JsonOutput) -> dict[str, str]:
    """Return the top-level fields of an answer that need the schema's spelling.

    Args:
        value: the answer.
        output: the task's output.

    Returns:
        By name, the value in the schema's spelling.
    """
    fields = {}
    for name, schema in output.fields().items():
        spelling = allowed_spelling(value.get(name), _enum_values(schema))
        if spelling is not None:
            fields[name] = spelling
    return fields


def _enum_values(schema: dict[str, Any]) -> list[Any]:
    """The values that a field may have, if the schema lists them."""
    values = list(schema.get("enum", ()))
    for part in schema.get("anyOf", ()):
        values += part.get("enum", ()) if isinstance(part, dict) else ()
    return values
