"""The part of a JSON Schema that decoding can be held to, and the keywords that remain.

Tokens are chosen one by one with a grammar. A grammar cannot compare parts of an answer with each other or take an
alternative back, so some keywords are beyond it. Without them the schema allows more, never less.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ftkit.schema.json_path import json_path
from ftkit.schema.keywords import map_placed_subschemas

__all__ = ["HELD_FORMATS", "Unheld", "held_part"]

HELD_FORMATS = frozenset({"date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uri", "uuid"})
"""Formats that a grammar holds strings to."""

_DEFINED_FORMATS = frozenset(
    (
        *("idn-email", "idn-hostname", "iri", "iri-reference", "json-pointer", "regex", "relative-json-pointer"),
        *("uri-reference", "uri-template"),
    )
)
"""The other formats that JSON Schema defines. Any other name is an annotation."""

_IN_PLACE = frozenset(
    {"$dynamicRef", "$recursiveRef", "$ref", "allOf", "anyOf", "dependentSchemas", "else", "if", "not", "oneOf", "then"}
)
"""Keywords that apply further schemas to the same value."""

_COMPARING = (
    *("$dynamicRef", "$recursiveRef", "contains", "dependentRequired", "dependentSchemas", "if", "not"),
    *("propertyNames", "unevaluatedItems", "unevaluatedProperties", "uniqueItems"),
)
_SILENT = ("$dynamicAnchor", "$recursiveAnchor", "else", "maxContains", "minContains", "then", "x-guidance")
"""Keywords that say nothing by themselves; ``x-guidance`` would change the settings of the grammar's library."""

_Steps = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Unheld:
    """A keyword that decoding cannot be held to.

    Attributes:
        keyword: the keyword.
        path: the JSON path of the schema that has it.
    """

    keyword: str
    path: str

    def __str__(self) -> str:
        return f'"{self.keyword}" at {self.path}'


def held_part(schema: dict[str, Any], *, holds_pattern: Callable[[str], bool]) -> tuple[Any, list[Unheld]]:
    """Take out of a schema what decoding cannot be held to.

    Args:
        schema: a valid schema of draft 2020-12.
        holds_pattern: whether a regular expression is one that a grammar can follow.

    Returns:
        The remaining schema, and the keywords that were taken out. Keywords without effect, such as
        ``"uniqueItems": false`` or an unknown ``format``, are not among them.
    """
    unheld: list[Unheld] = []

    def part(value: Any, steps: _Steps) -> Any:
        if not isinstance(value, dict):
            return value
        if value.get("not") in ({}, True) and "not" in value:
            return False  # how converters write "never"
        kept = _translated(value)
        for keyword in _COMPARING:
            if keyword in kept:
                if not _allows_all(kept, keyword):
                    unheld.append(Unheld(keyword, json_path(steps)))
                del kept[keyword]
        for keyword in _SILENT:
            kept.pop(keyword, None)
        if isinstance(kept.get("format"), str) and kept["format"] not in HELD_FORMATS:
            if kept["format"] in _DEFINED_FORMATS:
                unheld.append(Unheld("format", json_path(steps)))
            del kept["format"]
        if isinstance(kept.get("pattern"), str) and not holds_pattern(kept["pattern"]):
            unheld.append(Unheld("pattern", json_path(steps)))
            del kept["pattern"]
        patterns = kept.get("patternProperties")
        if isinstance(patterns, dict) and not all(map(holds_pattern, patterns)):
            unheld.append(Unheld("patternProperties", json_path(steps)))
            # Without the patterns it is unknown which keys are additional.
            del kept["patternProperties"]
            kept.pop("additionalProperties", None)
        return map_placed_subschemas(kept, lambda item, place: part(item, (*steps, *place)))

    return part(schema, ()), unheld


def _translated(schema: dict[str, Any]) -> dict[str, Any]:
    """Write ``unevaluatedProperties`` and ``unevaluatedItems`` as what they mean beside no further schemas."""
    kept = dict(schema)
    if not _IN_PLACE.isdisjoint(kept):
        return kept
    if "unevaluatedProperties" in kept:
        rest = kept.pop("unevaluatedProperties")
        kept.setdefault("additionalProperties", rest)
    if "unevaluatedItems" in kept and "contains" not in kept:
        rest = kept.pop("unevaluatedItems")
        kept.setdefault("items", rest)
    return kept


def _allows_all(schema: dict[str, Any], keyword: str) -> bool:
    """Whether one of the keywords that cannot be held forbids nothing where it stands."""
    value = schema[keyword]
    if keyword in ("not", "uniqueItems"):
        return value is False
    if keyword == "if":
        return "then" not in schema and "else" not in schema
    if keyword == "contains":
        return schema.get("minContains") == 0 and "maxContains" not in schema
    if keyword in ("dependentRequired", "dependentSchemas"):
        return not any(needed not in ([], {}, True) for needed in value.values())
    return json.dumps(value) in ("true", "{}")
