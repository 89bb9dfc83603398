"""Values that are an allowed one but for case and blanks."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from ftkit.schema import JsonOutput

__all__ = ["respelt", "respelt_fields"]


def respelt(value: Any, allowed: Collection[Any]) -> str | None:
    """The one allowed value that ``value`` is but for case and blanks around it; None when there is none or several."""
    if not isinstance(value, str) or value in allowed:
        return None
    plain = value.strip().casefold()
    fitting = [item for item in allowed if isinstance(item, str) and item.casefold() == plain]
    return fitting[0] if len(fitting) == 1 else None


def respelt_fields(value: dict[str, Any], output: JsonOutput) -> dict[str, str]:
    """Of the fields at the top of an answer those that can be spelt as the schema does, so spelt."""
    found = {}
    for name, schema in output.fields().items():
        other = respelt(value.get(name), _allowed(schema))
        if other is not None:
            found[name] = other
    return found


def _allowed(schema: dict[str, Any]) -> list[Any]:
    """The values that a field may have, when the schema lists them."""
    listed = list(schema.get("enum", ()))
    for part in schema.get("anyOf", ()):
        listed += part.get("enum", ()) if isinstance(part, dict) else ()
    return listed
