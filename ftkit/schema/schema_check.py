"""Refuse dicts that are meant as a JSON Schema but are not: as a schema they would allow any answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ftkit.errors import ConfigError
from ftkit.schema.keywords import ANNOTATIONS, KEYWORDS

__all__ = ["check_is_schema"]

_TYPES = {name: name for name in ("array", "boolean", "integer", "null", "number", "object", "string")} | {
    "bool": "boolean",
    "date": "string",
    "datetime": "string",
    "dict": "object",
    "float": "number",
    "int": "integer",
    "list": "array",
    "str": "string",
    "text": "string",
}
"""Common names of types, and their names in JSON Schema."""


def check_is_schema(schema: Any, path: str = "$") -> None:
    """Refuse a dict such as ``{"name": "string"}``, whose keys are not keywords of JSON Schema.

    ``{}`` and schemas of annotations alone allow any value, as in JSON Schema. Unknown keys beside a keyword are
    ignored, as in JSON Schema. Inside a schema, unknown keys are refused only if they look like fields, because other
    programs add annotations of their own there.

    Args:
        schema: the schema, or a part of it; not yet known to be valid.
        path: of this part.

    Raises:
        ConfigError: with the schema that was probably meant.
    """
    if not isinstance(schema, dict):
        return
    wrapped = schema.get("json_schema", schema)
    if path == "$" and isinstance(wrapped, dict) and isinstance(wrapped.get("schema"), dict):
        # OpenAI's response_format, or the part of it that has a name.
        raise ConfigError('this dict is a wrapper around a JSON Schema; give what is under its key "schema"')
    others = {key: value for key, value in schema.items() if key not in KEYWORDS and not str(key).startswith("x-")}
    limited = any(key in KEYWORDS and key not in ANNOTATIONS for key in schema)
    if others and not limited and (path == "$" or all(map(_looks_like_field, others.values()))):
        raise ConfigError(_message(schema, path))
    properties = schema.get("properties")
    if isinstance(properties, dict):
        for name, part in properties.items():
            check_is_schema(part, f"{path}.{name}")
    check_is_schema(schema.get("items"), f"{path}[]")


def _message(schema: Mapping[str, Any], path: str) -> str:
    where = "" if path == "$" else f" at {path}"
    guess = json.dumps(_guess_schema(schema), ensure_ascii=False)
    keys = ", ".join(f'"{key}"' for key in list(schema)[:5]) + (", …" if len(schema) > 5 else "")
    return (
        f"not a JSON Schema{where}: no keyword of JSON Schema limits the answer (the keys are {keys}), so any answer "
        f"would be valid. Probably meant: {guess:.1000}"
    )


def _looks_like_field(value: Any) -> bool:
    return isinstance(value, type | Mapping) or (isinstance(value, str) and value in _TYPES)


def _guess_schema(value: Any) -> dict[str, Any]:
    """The schema of what was written as a type's name, a Python type, an example, or a dict of these."""
    if isinstance(value, type):
        return {"type": _TYPES.get(value.__name__, "string")}
    if isinstance(value, str):
        return {"type": _TYPES.get(value, "string")}
    if isinstance(value, Mapping):
        if any(key in KEYWORDS and key not in ANNOTATIONS for key in value):
            return dict(value)
        named = {str(key): _guess_schema(part) for key, part in value.items()}
        return {"type": "object", "properties": named, "required": list(named)} if named else {"type": "object"}
    if isinstance(value, list | tuple):
        several = len(value) > 1 and all(isinstance(item, str) and item not in _TYPES for item in value)
        if several:
            return {"enum": list(value)}
        return {"type": "array", "items": _guess_schema(value[0])} if value else {"type": "array"}
    if isinstance(value, bool):
        return {"type": "boolean"}
    if isinstance(value, int | float):
        return {"type": "integer" if isinstance(value, int) else "number"}
    return {"type": "string"} if value is not None else {}
