"""The keywords of JSON Schema: which contain further schemas, and the order in which ftkit writes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["ANNOTATIONS", "KEYWORDS", "in_keyword_order", "map_placed_subschemas", "map_subschemas", "subschemas"]

ANNOTATIONS = frozenset(
    {"$comment", "$schema", "default", "deprecated", "description", "examples", "readOnly", "title", "writeOnly"}
)
"""Keywords that never make a value invalid."""

_ONE = (
    *("additionalProperties", "contains", "contentSchema", "else", "if", "items", "not", "propertyNames", "then"),
    *("unevaluatedItems", "unevaluatedProperties"),
)
_LIST = ("allOf", "anyOf", "oneOf", "prefixItems")
_NAMED = ("$defs", "definitions", "dependentSchemas", "patternProperties", "properties")

_FIRST = (
    *("$schema", "$id", "$ref", "title", "description", "type", "format", "const", "enum", "pattern"),
    *("minLength", "maxLength", "minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "multipleOf"),
    *("prefixItems", "items", "minItems", "maxItems", "uniqueItems"),
    *("properties", "required", "additionalProperties", "anyOf", "oneOf", "allOf", "default"),
)
KEYWORDS = frozenset(
    {
        *ANNOTATIONS,
        *_ONE,
        *_LIST,
        *_NAMED,
        *_FIRST,
        *("$anchor", "$dynamicAnchor", "$dynamicRef", "$recursiveAnchor", "$recursiveRef", "$vocabulary"),
        *("contentEncoding", "contentMediaType", "dependencies", "dependentRequired"),
        *("maxContains", "maxProperties", "minContains", "minProperties"),
    }
)
"""Every keyword of draft 2020-12, with those that it still knows from earlier drafts."""

_RANK = {keyword: rank for rank, keyword in enumerate(_FIRST)} | {"definitions": 998, "$defs": 999}


def map_subschemas(schema: dict[str, Any], change: Callable[[Any], Any]) -> dict[str, Any]:
    """Copy a schema with each schema directly inside it changed.

    Args:
        schema: the schema.
        change: returns the new schema for a schema directly inside.

    Returns:
        The copy; other keywords stay as they are.
    """
    return map_placed_subschemas(schema, lambda item, place: change(item))


def map_placed_subschemas(
    schema: dict[str, Any], change: Callable[[Any, tuple[str | int, ...]], Any]
) -> dict[str, Any]:
    """Copy a schema with each schema directly inside it changed, by a function that also gets its place.

    Args:
        schema: the schema.
        change: returns the new schema for a schema directly inside and the keys and indices that lead to it.

    Returns:
        The copy; other keywords stay as they are.
    """
    copy = dict(schema)
    for keyword, value in schema.items():
        if keyword in _ONE:
            copy[keyword] = change(value, (keyword,))
        elif keyword in _LIST and isinstance(value, list):
            copy[keyword] = [change(item, (keyword, number)) for number, item in enumerate(value)]
        elif keyword in _NAMED and isinstance(value, dict):
            copy[keyword] = {name: change(item, (keyword, name)) for name, item in value.items()}
    return copy


def subschemas(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield a schema and every schema inside it. References are not followed.

    Args:
        schema: the schema.

    Yields:
        The schemas, outermost first; booleans are left out.
    """
    pending = [schema]
    while pending:
        part = pending.pop()
        if isinstance(part, dict):
            yield part
            map_subschemas(part, pending.append)


def in_keyword_order(schema: Any) -> Any:
    """Put the keywords of a schema in ftkit's order, at every level.

    Two schemas that differ only in the order of keywords become the same text, and so have the same fingerprint and
    prompt. The order of properties has a meaning, and stays.

    Args:
        schema: the schema.

    Returns:
        A copy.
    """
    if not isinstance(schema, dict):
        return schema
    ordered = dict(sorted(schema.items(), key=lambda item: (_RANK.get(item[0], 500), item[0])))
    return map_subschemas(ordered, in_keyword_order)
