"""A compiled JSON Schema: it validates values, puts them in canonical order, and describes itself for the prompt."""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ftkit.errors import ConfigError, OutputError
from ftkit.schema.bounded_validator import bounded_validator, check_patterns
from ftkit.schema.decimal_form import decimal_form
from ftkit.schema.json_path import json_path
from ftkit.schema.jsonschema_errors import output_errors
from ftkit.schema.keywords import map_subschemas, subschemas
from ftkit.schema.quick_check import QuickCheck, compile_quick_check
from ftkit.schema.quick_schema_check import is_certainly_schema
from ftkit.schema.references import check_references, inline_references, resolve_reference
from ftkit.schema.schema_prompt import schema_prompt

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

__all__ = ["CompiledSchema", "check_schema", "close_top"]

_COMBINATORS = frozenset(
    {"$ref", "allOf", "anyOf", "oneOf", "if", "then", "else", "dependentSchemas", "patternProperties"}
)

_OTHER_KEYS = frozenset({"additionalProperties", "unevaluatedProperties"})

_NESTED_OR_FLOAT = (dict, list, float)
"""Values that :meth:`CompiledSchema.ordered` may have to change."""


def check_schema(schema: dict[str, Any], *, python_patterns: bool = True) -> None:
    """Check that a dict is a JSON Schema of draft 2020-12 without references to other documents.

    Args:
        schema: the schema.
        python_patterns: whether patterns must be regular expressions of Python, too, which validates values.

    Raises:
        ConfigError: it is not; names the place in the schema.
    """
    try:
        if not is_certainly_schema(schema):
            _ask_jsonschema(schema, python_patterns=python_patterns)
    except RecursionError:
        raise ConfigError("not a valid JSON Schema: it is nested too deep, or a pattern in it is") from None
    check_references(schema)


def _ask_jsonschema(schema: dict[str, Any], *, python_patterns: bool) -> None:
    from jsonschema import Draft202012Validator, FormatChecker, SchemaError

    try:
        formats = Draft202012Validator.FORMAT_CHECKER if python_patterns else FormatChecker(formats=())
        Draft202012Validator.check_schema(schema, format_checker=formats)
    except SchemaError as error:
        message = error.message if len(error.message) <= 300 else error.message[:300] + "…"
        raise ConfigError(
            f"not a valid JSON Schema (draft 2020-12) at {json_path(error.absolute_path)}: {message}"
        ) from error
    if python_patterns:
        check_patterns(schema)


def close_top(schema: dict[str, Any]) -> dict[str, Any]:
    """Refuse other keys at the top of a schema that names keys and does not mention others.

    Args:
        schema: the schema.

    Returns:
        A copy; the schema itself if it mentions other keys, names none, or applies further schemas to the same value.
    """
    if not _OTHER_KEYS.isdisjoint(schema) or not schema.get("properties") or not _COMBINATORS.isdisjoint(schema):
        return schema
    return {**schema, "additionalProperties": False}


class CompiledSchema:
    """One JSON Schema, compiled once; see :meth:`of`."""

    def __init__(self, schema: dict[str, Any], fill_defaults: bool) -> None:
        self.root = inline_references(schema)
        self.fill_defaults = fill_defaults

    @staticmethod
    @functools.lru_cache(maxsize=128)
    def of(text: str, fill_defaults: bool) -> CompiledSchema:
        """Compile a schema; cached, because every row of a dataset uses it.

        Args:
            text: the schema as JSON.
            fill_defaults: whether :meth:`ordered` adds the ``default`` of missing keys.

        Returns:
            The compiled schema.
        """
        return CompiledSchema(json.loads(text), fill_defaults)

    @functools.cached_property
    def validator(self) -> Validator:
        """The validator of jsonschema."""
        validator: Validator = bounded_validator(_with_false_as_not(self._closed()))
        return validator

    @functools.cached_property
    def quick_check(self) -> QuickCheck | None:
        """See :func:`ftkit.schema.quick_check.compile_quick_check`; None where only jsonschema can decide."""
        return compile_quick_check(self._closed())

    @functools.cached_property
    def prompt(self) -> str:
        """The schema as text for the prompt; see :func:`ftkit.schema.schema_prompt.schema_prompt`."""
        return schema_prompt(self.root, is_object=self.top.get("type") == "object", defaults_filled=self.fill_defaults)

    @functools.cached_property
    def top(self) -> dict[str, Any]:
        """The root, or what it points to when it is a reference."""
        schema: Any = self.root
        while isinstance(schema, dict) and "$ref" in schema:
            schema = resolve_reference(schema["$ref"], self.root)
        return schema if isinstance(schema, dict) else {}

    def problems(self, value: Any, text: str | None = None) -> list[OutputError]:
        """Return everything that is wrong with a value.

        Args:
            value: JSON data.
            text: the text that the errors quote; by default the value's JSON.

        Returns:
            The problems; empty if the value is valid.
        """
        if self.quick_check is not None and self.quick_check(value):
            return []
        text = json.dumps(value, ensure_ascii=False) if text is None else text
        try:
            return output_errors(self.validator.iter_errors(value), text, self._declared)
        except RecursionError:  # a recursive schema, and an answer that goes deeper than Python's stack
            return [OutputError("nested too deep to be validated", problem="invalid_value", text=text)]

    def accepts(self, value: Any) -> bool:
        """Return whether a value is valid.

        Args:
            value: JSON data.

        Returns:
            Whether it is.
        """
        if self.quick_check is not None and self.quick_check(value):
            return True
        return bool(self.validator.is_valid(value))

    def ordered(self, value: Any) -> Any:
        """Copy a value with its keys in the schema's order, and other keys after them.

        Where the schema requires an integer, ``3.0`` becomes ``3``; decimals become texts, see
        :mod:`ftkit.schema.decimal_form`. With ``fill_defaults``, missing keys get their default.

        Args:
            value: a valid value.

        Returns:
            The copy.
        """
        return self._ordered(value, self.root)

    @functools.cached_property
    def has_decimals(self) -> bool:
        """Whether a part of the schema is that of a decimal."""
        return any(decimal_form(part) is not None for part in subschemas(self.root))

    def _ordered(self, value: Any, schema: Any) -> Any:
        if not isinstance(value, _NESTED_OR_FLOAT) and not self.has_decimals:
            return value
        parts = list(self._parts(schema, value))
        if self.has_decimals and isinstance(value, int | float | str):
            for part in parts:
                form = decimal_form(part)
                text = None if form is None else form.text(value)
                if text is not None:
                    return text
        if isinstance(value, dict):
            named: dict[str, list[Any]] = {}
            for part in parts:
                for name, item in part.get("properties", {}).items():
                    named.setdefault(name, []).append(item)
            result = {}
            for name, items in named.items():
                if name in value:
                    result[name] = self._ordered(value[name], _all(items))
                elif self.fill_defaults and isinstance(items[0], dict) and "default" in items[0]:
                    result[name] = self._ordered(copy.deepcopy(items[0]["default"]), _all(items))
            others = [part["additionalProperties"] for part in parts if "additionalProperties" in part]
            for name, item in value.items():
                if name not in named:
                    result[name] = self._ordered(item, _all(others))
            return result
        if isinstance(value, list):
            return [self._ordered(item, _all(list(_items(parts, index)))) for index, item in enumerate(value)]
        if isinstance(value, float) and value.is_integer() and any(part.get("type") == "integer" for part in parts):
            return int(value)
        return value

    def _parts(self, schema: Any, value: Any) -> Iterator[dict[str, Any]]:
        """``schema`` and all that applies to ``value`` beside it: references, ``allOf``, the alternative that fits."""
        if not isinstance(schema, dict):
            return
        yield schema
        if "$ref" in schema:
            yield from self._parts(resolve_reference(schema["$ref"], self.root), value)
        for item in schema.get("allOf", []):
            yield from self._parts(item, value)
        for keyword in ("anyOf", "oneOf"):
            fitting = (item for item in schema.get(keyword, []) if self._fits(item, value))
            yield from self._parts(next(fitting, None), value)
        if "if" in schema:
            yield from self._parts(schema.get("then" if self._fits(schema["if"], value) else "else"), value)

    def _fits(self, schema: Any, value: Any) -> bool:
        return bool(self.validator.evolve(schema=schema).is_valid(value))

    def _closed(self) -> dict[str, Any]:
        """The root with other keys refused, if it names keys and does not mention others."""
        if "properties" in self.root and _COMBINATORS.isdisjoint(self.root):
            return close_top(self.root)
        stated = _OTHER_KEYS.intersection([*self.top, *self.root])
        if stated or not self.top.get("properties"):
            return self.root
        return {**self.root, "unevaluatedProperties": False}

    def _declared(self, schema: dict[str, Any]) -> set[str]:
        """Every key that ``schema`` names, in whatever alternative."""
        found: set[str] = set()
        pending: list[Any] = [schema]
        followed: set[str] = set()
        while pending:
            part = pending.pop()
            if not isinstance(part, dict):
                continue
            found.update(part.get("properties", {}))
            if "$ref" in part and part["$ref"] not in followed:
                followed.add(part["$ref"])
                pending.append(resolve_reference(part["$ref"], self.root))
            for keyword in ("allOf", "anyOf", "oneOf"):
                pending.extend(part.get(keyword, []))
            pending.extend(part.get(keyword) for keyword in ("if", "then", "else"))
            pending.extend(part.get("dependentSchemas", {}).values())
        return found


def _with_false_as_not(schema: Any) -> Any:
    """``schema`` with ``false`` for a key written as ``{"not": {}}``: for ``false`` jsonschema loses the path."""
    if not isinstance(schema, dict):
        return schema
    copied = map_subschemas(schema, _with_false_as_not)
    for keyword in ("properties", "patternProperties", "prefixItems"):
        parts = copied.get(keyword)
        if isinstance(parts, dict):
            copied[keyword] = {name: {"not": {}} if part is False else part for name, part in parts.items()}
        elif isinstance(parts, list):
            copied[keyword] = [{"not": {}} if part is False else part for part in parts]
    return copied


def _items(parts: list[dict[str, Any]], index: int) -> Iterator[Any]:
    for part in parts:
        prefix = part.get("prefixItems", [])
        if index < len(prefix):
            yield prefix[index]
        elif "items" in part:
            yield part["items"]


def _all(schemas: list[Any]) -> Any:
    if len(schemas) == 1:
        return schemas[0]
    return {"allOf": schemas} if schemas else True
