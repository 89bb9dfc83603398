"""A fast check that a dict is a JSON Schema, for the schemas that most tasks have.

``jsonschema`` takes longer to import than all of ftkit that a task needs, and walks the metaschema. This check answers
"certainly a schema" or "ask jsonschema", which also explains what is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

__all__ = ["is_certainly_schema"]

_TYPES = frozenset(("null", "boolean", "integer", "number", "string", "array", "object"))
_REFERENCE = re.compile(r"#(/[A-Za-z0-9_$.-]+)*\Z")


def is_certainly_schema(value: Any) -> bool:
    """Return whether a value is certainly a JSON Schema of draft 2020-12.

    Args:
        value: JSON data.

    Returns:
        False when jsonschema has to decide, as for patterns and rare keywords.
    """
    if isinstance(value, bool):
        return True
    if not isinstance(value, dict):
        return False
    return all(keyword in _KEYWORDS and _KEYWORDS[keyword](wanted) for keyword, wanted in value.items())


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _is_anything(value: Any) -> bool:
    return True


def _are_schemas(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(is_certainly_schema, value))


def _are_named_schemas(value: Any) -> bool:
    return isinstance(value, dict) and all(map(is_certainly_schema, value.values()))


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value)) and len(set(value)) == len(value)


def _are_types(value: Any) -> bool:
    names = value if isinstance(value, list) else [value]
    return bool(names) and _are_names(names) and _TYPES.issuperset(names)


def _is_reference(value: Any) -> bool:
    return isinstance(value, str) and _REFERENCE.match(value) is not None


_KEYWORDS: dict[str, Callable[[Any], bool]] = {
    "type": _are_types,
    "properties": _are_named_schemas,
    "$defs": _are_named_schemas,
    "additionalProperties": is_certainly_schema,
    "items": is_certainly_schema,
    "not": is_certainly_schema,
    "required": _are_names,
    "enum": _is_list,
    "examples": _is_list,
    "const": _is_anything,
    "default": _is_anything,
    **dict.fromkeys(("anyOf", "allOf", "oneOf", "prefixItems"), _are_schemas),
    **dict.fromkeys(("title", "description", "format", "$comment"), _is_text),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), _is_number),
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems"), _is_size),
    **dict.fromkeys(("deprecated", "readOnly", "writeOnly", "uniqueItems"), _is_flag),
    "$ref": _is_reference,
}
