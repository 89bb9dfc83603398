"""A schema as text for the prompt: short, the same for equal schemas, and readable by a small model."""

from __future__ import annotations

import json
from typing import Any

from ftkit.schema.decimal_form import DecimalForm, decimal_form
from ftkit.schema.keywords import ANNOTATIONS, subschemas

__all__ = ["schema_prompt"]

_UNDERSTOOD = ANNOTATIONS | {
    *("type", "const", "enum", "format", "pattern", "minLength", "maxLength", "minimum", "maximum", "multipleOf"),
    *("exclusiveMinimum", "exclusiveMaximum", "items", "prefixItems", "minItems", "maxItems", "uniqueItems"),
    *("properties", "required", "additionalProperties", "anyOf", "oneOf"),
}
_FORMATS = {"date": "date, YYYY-MM-DD", "date-time": "date and time, ISO 8601", "time": "time, HH:MM:SS"}


class _IndescribableError(Exception):
    """A part of the schema cannot be described in words; the prompt contains that part as JSON."""


class _Phrase:
    """The description of a value: a phrase for one line, and the lines below it that list an object's keys."""

    def __init__(self, line: str, below: list[str] | None = None) -> None:
        self.line = line
        self.below = below or []


def schema_prompt(schema: dict[str, Any], *, is_object: bool, defaults_filled: bool) -> str:
    """Write the instruction to answer with a value that a schema allows.

    Objects, arrays, enums, bounds, formats, decimals and unions are described in words. A part that cannot be (one that
    is recursive, or that has conditions) is in the text as JSON; so is the whole schema if its root is such a part.

    The text is part of every prompt and of every fingerprint of rendered rows, so it must never change.

    Args:
        schema: the schema, with references inlined where possible.
        is_object: whether every answer is a JSON object.
        defaults_filled: whether every target contains the keys with a default, which are then not optional.

    Returns:
        The text.
    """
    definitions: dict[str, dict[str, Any]] = {
        place: schema[place] for place in ("$defs", "definitions") if place in schema
    }
    words = _Words(definitions, defaults_filled)
    try:
        phrase = words.of_root(schema)
    except _IndescribableError:
        kind = "object" if is_object else "value"
        return f"Answer with one JSON {kind} that fits this JSON Schema:\n" + _json(schema)
    if phrase.line.startswith(("object with", "array")):
        start = f"Answer with one JSON {phrase.line}"
    else:
        start = f"Answer with one JSON value: {phrase.line}"
    return "\n".join([start, *phrase.below])


def _points_to_definition(reference: str) -> bool:
    place, _, name = reference.removeprefix("#/").partition("/")
    return place in ("$defs", "definitions") and bool(name) and "/" not in name


class _Words:
    """Writes the phrases of one schema.

    Attributes:
        definitions: ``$defs`` and ``definitions`` of the schema, for the parts that are written as JSON.
        filled: whether every target contains the keys with a default.
    """

    def __init__(self, definitions: dict[str, dict[str, Any]], filled: bool) -> None:
        self.definitions = definitions
        self.filled = filled

    def of_root(self, schema: dict[str, Any]) -> _Phrase:
        """The phrase of the whole schema."""
        if any(not _points_to_definition(part["$ref"]) for part in subschemas(schema) if "$ref" in part):
            raise _IndescribableError  # a part of the schema alone would point nowhere
        return self.of({keyword: value for keyword, value in schema.items() if keyword not in self.definitions})

    def of_part(self, schema: Any) -> _Phrase:
        """The phrase of a part: in words, else the part as JSON."""
        try:
            return self.of(schema)
        except _IndescribableError:
            return _Phrase(f"value that fits this JSON Schema: {self._as_json(schema)}")

    def of(self, schema: Any) -> _Phrase:
        """The phrase of a schema whose outermost level can be written in words."""
        if schema is True or schema == {}:
            return _Phrase("any JSON value")
        if not isinstance(schema, dict) or not _UNDERSTOOD.issuperset(schema):
            raise _IndescribableError
        rules = set(schema) - ANNOTATIONS
        if rules & {"const", "enum"} and not rules <= {"type", "const", "enum"}:
            raise _IndescribableError
        if "const" in schema:
            return _Phrase(_json(schema["const"]))
        if "enum" in schema:
            return _enum(schema["enum"])
        alternatives = schema.get("anyOf") or schema.get("oneOf")
        if alternatives:
            if len(rules) > 1:
                raise _IndescribableError
            decimal = decimal_form(schema)
            if decimal is not None:
                others = [self.of_part(item) for item in decimal.others]
                return _either([_Phrase(_decimal(decimal)), *others])
            return _either([self.of_part(item) for item in alternatives])
        types = schema.get("type")
        if types is None:
            raise _IndescribableError
        return _either([self._typed(kind, schema) for kind in ([types] if isinstance(types, str) else types)])

    def _as_json(self, schema: Any) -> str:
        """A part as JSON, with the definitions that it needs and without its description, which stands beside it."""
        if not isinstance(schema, dict):
            return _json(schema)
        part = {keyword: value for keyword, value in schema.items() if keyword != "description"}
        needed: dict[str, dict[str, Any]] = {}
        pending: list[Any] = [part]
        while pending:
            for inside in subschemas(pending.pop()):
                place, _, name = inside.get("$ref", "").removeprefix("#/").partition("/")
                if name in self.definitions.get(place, {}) and name not in needed.get(place, {}):
                    needed.setdefault(place, {})[name] = self.definitions[place][name]
                    pending.append(self.definitions[place][name])
        return _json(part | needed)

    def _typed(self, kind: str, schema: dict[str, Any]) -> _Phrase:
        match kind:
            case "null":
                return _Phrase("null")
            case "boolean":
                return _Phrase("true or false")
            case "integer" | "number":
                return _Phrase(kind + _number_bounds(schema))
            case "string":
                return _Phrase("string" + _string_bounds(schema))
            case "array":
                return self._array(schema)
        return self._object(schema)

    def _array(self, schema: dict[str, Any]) -> _Phrase:
        amount = _amount(schema.get("minItems"), schema.get("maxItems"), "item")
        if "prefixItems" in schema:
            items = [self.of_part(item) for item in schema["prefixItems"]]
            exact = len(items) == schema.get("minItems") and (
                schema.get("maxItems") == len(items) or schema.get("items") is False
            )
            if not exact or any(item.below for item in items):
                raise _IndescribableError
            return _Phrase(f"array of exactly [{', '.join(item.line for item in items)}]")
        notes = [note for note in (amount, "no repeats" if schema.get("uniqueItems") else "") if note]
        size = f" ({', '.join(notes)})" if notes else ""
        item = self.of_part(schema.get("items", True))
        if item.below:
            # The keys are listed below; the size has to come before them.
            listed = item.line.replace("object with", "objects, each with", 1)
            if item.line.endswith("one of these:") and listed == item.line:
                listed = f"items, each {listed}"
            return _Phrase(f"array{size} of {listed}", item.below)
        return _Phrase(f"array of {_each(item.line)}{size}")

    def _object(self, schema: dict[str, Any]) -> _Phrase:
        properties, others = schema.get("properties", {}), schema.get("additionalProperties", False)
        required = schema.get("required", [])
        if not set(required).issubset(properties):
            raise _IndescribableError
        if not properties:
            if others is False and "additionalProperties" in schema:
                return _Phrase("empty object {}")
            if others in (False, True, {}):
                return _Phrase("object with any keys")
            value = self.of_part(others)
            return _Phrase(f"object with any keys, each value: {value.line}", value.below)
        below = []
        for name, part in properties.items():
            phrase = self.of_part(part)
            optional = name not in required and not (self.filled and isinstance(part, dict) and "default" in part)
            shown = name if name.isidentifier() else _json(name)
            description = " ".join(part.get("description", "").split()) if isinstance(part, dict) else ""
            line = f"- {shown}: {phrase.line}{', may be left out' if optional else ''}"
            if phrase.below:  # the line ends in a colon that the nested keys hang from
                line = f"- {shown}: {phrase.line.removesuffix(':')}"
                line += f"{', may be left out' if optional else ''}{f' — {description}' if description else ''}:"
            elif description:
                line += f" — {description}"
            below += [line, *(f"  {nested}" for nested in phrase.below)]
        keys = "this key" if len(properties) == 1 else "these keys, in this order"
        if others is False:
            return _Phrase(f"object with {keys}:", below)
        if others in (True, {}):
            return _Phrase(f"object with {keys}, then any others:", below)
        raise _IndescribableError


def _either(phrases: list[_Phrase]) -> _Phrase:
    with_keys = [phrase for phrase in phrases if phrase.below]
    lines = list(dict.fromkeys(phrase.line for phrase in phrases if not phrase.below))
    if not with_keys:
        return _Phrase(" or ".join(lines))
    if len(with_keys) == 1:
        return _Phrase(" or ".join([*lines, with_keys[0].line]), with_keys[0].below)
    below = []
    for phrase in with_keys:
        below += [f"- {phrase.line}", *(f"  {nested}" for nested in phrase.below)]
    return _Phrase(" or ".join([*lines, "one of these:"]), below)


def _enum(values: list[Any]) -> _Phrase:
    if not values or any(isinstance(value, dict | list) for value in values):
        raise _IndescribableError
    listed = ", ".join(_json(value) for value in values if value is not None)
    line = listed if len(values) == 1 else f"one of {listed}"
    return _Phrase(f"{line} or null" if None in values else line)


def _number_bounds(schema: dict[str, Any]) -> str:
    bounds = []
    if "minimum" in schema and "maximum" in schema:
        bounds.append(f"from {_json(schema['minimum'])} to {_json(schema['maximum'])}")
    else:
        bounds += [f"at least {_json(schema[key])}" for key in ("minimum",) if key in schema]
        bounds += [f"at most {_json(schema[key])}" for key in ("maximum",) if key in schema]
    bounds += [f"greater than {_json(schema[key])}" for key in ("exclusiveMinimum",) if key in schema]
    bounds += [f"less than {_json(schema[key])}" for key in ("exclusiveMaximum",) if key in schema]
    bounds += [f"a multiple of {_json(schema[key])}" for key in ("multipleOf",) if key in schema]
    text = ", ".join(bounds)
    return f" {text}" if text.startswith("from") else f", {text}" if text else ""


def _decimal(form: DecimalForm) -> str:
    words = "decimal number in quotes"
    if form.places is not None:
        words += f" with {_counted(form.places, 'decimal place')}" if form.places else " without decimal places"
    if form.digits is not None:
        words += f", at most {_counted(form.digits, 'digit')}"
    bounds = _number_bounds({keyword: _whole(value) for keyword, value in form.bounds.items()})
    return words + (f",{bounds}" if bounds.startswith(" ") else bounds)


def _whole(value: Any) -> Any:
    """A bound, which pydantic writes as a float, as the class states it: 0 and not 0.0."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _string_bounds(schema: dict[str, Any]) -> str:
    notes = []
    if "format" in schema:
        notes.append(_FORMATS.get(schema["format"], schema["format"]))
    if "pattern" in schema:
        notes.append(f"matching {schema['pattern']}")
    length = _amount(schema.get("minLength"), schema.get("maxLength"), "character")
    notes += [length] if length else []
    return f" ({'; '.join(notes)})" if notes else ""


def _amount(least: int | None, most: int | None, what: str) -> str:
    least = least or None
    if least is None and most is None:
        return ""
    if least == most:
        return f"exactly {_counted(most or 0, what)}"
    if least is None:
        return f"at most {_counted(most or 0, what)}"
    if most is None:
        return f"at least {_counted(least, what)}"
    return f"{least} to {_counted(most, what)}"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _each(line: str) -> str:
    return {"string": "strings", "integer": "integers", "number": "numbers"}.get(line, f"items, each {line}")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
