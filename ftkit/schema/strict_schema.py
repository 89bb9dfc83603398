"""The part of JSON Schema that OpenAI's strict mode takes, for ``response_format`` and for tools.

Source: OpenAI's guide "Structured model outputs", "Supported schemas", and the texts of the API's refusals. Titles,
descriptions, defaults and other annotations, and keywords that JSON Schema does not know, are taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ftkit.errors import ConfigError
from ftkit.schema.json_path import json_path
from ftkit.schema.keywords import ANNOTATIONS, KEYWORDS, map_placed_subschemas

__all__ = ["STRICT_FORMATS", "STRICT_KEYWORDS", "check_strict"]

STRICT_KEYWORDS = frozenset(
    (
        *("type", "properties", "required", "additionalProperties", "items", "enum", "const", "anyOf", "$ref", "$defs"),
        *("definitions", "description", "pattern", "format", "multipleOf", "maximum", "exclusiveMaximum", "minimum"),
        *("exclusiveMinimum", "minItems", "maxItems"),
    )
)
"""Keywords that strict mode supports for every model."""

_TAKEN = STRICT_KEYWORDS | ANNOTATIONS | {"$id", "maxLength", "minLength"}
"""The two lengths are supported except for fine-tuned models; here they are held like the rest."""

STRICT_FORMATS = frozenset({"date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uuid"})
"""Formats of texts that strict mode supports."""
_MAX_NESTING = 10
_MAX_PROPERTIES = 5_000
_MAX_ENUM_VALUES = 1_000
_MAX_TEXT = 120_000
"""Characters of all names of properties and definitions, values of enums and constants."""

_Steps = tuple[str | int, ...]


def check_strict(schema: dict[str, Any], *, optional: bool = False) -> None:
    """Refuse a schema that OpenAI's strict mode refuses.

    Args:
        schema: a JSON Schema.
        optional: whether properties may be optional, which OpenAI refuses. Clients of compatible servers, inspect_ai
            among them, declare functions with optional arguments strict.

    Raises:
        ConfigError: names the first keyword that is not permitted or missing, and its JSON path.
    """
    if schema.get("type") != "object":
        raise ConfigError(f'the root must have "type": "object" in strict mode, not {schema.get("type")!r}')
    if "anyOf" in schema:
        raise ConfigError('"anyOf" is not permitted at $ in strict mode; put it into a property')
    properties = values = text = 0
    for part, steps, nesting in _parts(schema):
        if nesting > _MAX_NESTING:
            raise ConfigError(f"objects are nested more than {_MAX_NESTING} levels deep at {json_path(steps)}")
        _check_part(part, json_path(steps), optional=optional)
        named = part.get("properties", {})
        properties += len(named)
        enum = part.get("enum", [])
        values += len(enum)
        texts = [*named, *part.get("$defs", {}), *part.get("definitions", {}), *enum, part.get("const")]
        text += sum(len(one) for one in texts if isinstance(one, str))
    for count, most, what in (
        (properties, _MAX_PROPERTIES, "properties"),
        (values, _MAX_ENUM_VALUES, "values of enums"),
        (text, _MAX_TEXT, "characters in names and values of enums"),
    ):
        if count > most:
            raise ConfigError(f"strict mode takes {most:,} {what} at most, and the schema has {count:,}")


def _parts(schema: dict[str, Any]) -> Iterator[tuple[dict[str, Any], _Steps, int]]:
    """Each schema, its place, and how many objects it is nested in, itself included; definitions start anew."""
    pending: list[tuple[Any, _Steps, int]] = [(schema, (), 0)]
    while pending:
        part, steps, outside = pending.pop()
        if not isinstance(part, dict):
            raise ConfigError(f"{str(part).lower()} is not permitted as a schema at {json_path(steps)} in strict mode")
        nesting = outside + (part.get("type") == "object" or "properties" in part)
        yield part, steps, nesting
        inside: list[tuple[Any, _Steps, int]] = []

        def collect(
            item: Any, place: _Steps, steps: _Steps = steps, nesting: int = nesting, into: list[Any] = inside
        ) -> Any:
            if place != ("additionalProperties",):
                into.append((item, (*steps, *place), 0 if place[0] in ("$defs", "definitions") else nesting))
            return item

        map_placed_subschemas(part, collect)
        pending += reversed(inside)


def _check_part(part: dict[str, Any], path: str, *, optional: bool) -> None:
    for keyword in part:
        if keyword in KEYWORDS and keyword not in _TAKEN:
            raise ConfigError(f'"{keyword}" is not permitted at {path} in strict mode')
    if not {"type", "anyOf", "$ref", "enum", "const"} & part.keys():
        raise ConfigError(f'"type" is missing at {path}, and strict mode requires it')
    form = part.get("format")
    if form is not None and form not in STRICT_FORMATS:
        known = ", ".join(sorted(STRICT_FORMATS))
        raise ConfigError(f'"format": "{form}" is not permitted at {path} in strict mode; it takes {known}')
    types = part.get("type")
    if "object" in (types if isinstance(types, list) else [types]) or "properties" in part:
        if part.get("additionalProperties") is not False:
            raise ConfigError(f'"additionalProperties" must be false at {path} in strict mode')
        required, named = part.get("required", []), part.get("properties", {})
        for name in named:
            if name not in required and not optional:
                raise ConfigError(
                    f'"required" must name every property at {path} in strict mode, and "{name}" is missing. '
                    "A property that may be absent is one whose type allows null"
                )
        for name in required:
            if name not in named:
                raise ConfigError(f'"required" names "{name}" at {path}, which is not among the properties')
