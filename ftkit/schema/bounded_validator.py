"""jsonschema's validator of draft 2020-12, whose patterns are searched in bounded time and which fetches nothing.

jsonschema searches patterns with Python's ``re``, which a text of forty characters can keep busy for years. The four
keywords that search patterns are replaced here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ftkit.errors import ConfigError
from ftkit.patterns import PatternError, PatternTimeoutError, compile_pattern
from ftkit.schema.keywords import subschemas
from ftkit.schema.references import resolve_reference

__all__ = ["bounded_validator", "check_patterns", "matches_any"]

_Keyword = Callable[[Any, Any, Any, Any], Iterable[Any]]
"""How jsonschema writes a keyword: a function of the validator, the keyword's value, the instance and the schema."""


def bounded_validator(schema: dict[str, Any]) -> Any:
    """Make a validator.

    Args:
        schema: a valid schema without references to other documents.

    Returns:
        The validator of jsonschema. An error whose ``cause`` is a :class:`PatternTimeoutError` says that a pattern
        could not be searched in time.
    """
    from referencing.jsonschema import EMPTY_REGISTRY

    cls = _validator_class()
    if any("patternProperties" in part for part in subschemas(schema)):
        cls = _extended(cls, {"unevaluatedProperties": _unevaluated_properties(schema)})
    # The empty registry keeps jsonschema from fetching anything.
    return cls(schema, format_checker=cls.FORMAT_CHECKER, registry=EMPTY_REGISTRY)


def check_patterns(schema: dict[str, Any]) -> None:
    """Check every pattern in a schema.

    Args:
        schema: the schema.

    Raises:
        ConfigError: a pattern is no regular expression, or is too large.
    """
    for part in subschemas(schema):
        patterns = [part["pattern"]] if isinstance(part.get("pattern"), str) else []
        for pattern in (*patterns, *part.get("patternProperties", ())):
            try:
                compile_pattern(pattern)
            except PatternError as error:
                raise ConfigError(f"not a valid JSON Schema: {error}") from None


def matches_any(patterns: Iterable[str], text: str) -> bool:
    """Say whether one of several patterns matches anywhere in a text.

    Args:
        patterns: regular expressions.
        text: the text.

    Returns:
        Whether one does.

    Raises:
        PatternTimeoutError: the search took too long.
    """
    return any(compile_pattern(pattern).search(text) for pattern in patterns)


@functools.cache
def _validator_class() -> Any:
    from jsonschema import Draft202012Validator

    return _extended(
        Draft202012Validator,
        {
            "pattern": _reporting_timeouts(_pattern),
            "patternProperties": _reporting_timeouts(_pattern_properties),
            "additionalProperties": _reporting_timeouts(_additional_properties),
        },
    )


def _extended(cls: Any, keywords: Mapping[str, _Keyword]) -> Any:
    """A class of validators with other functions for some keywords."""
    from jsonschema import validators

    extend: Any = validators.extend  # which has no types
    return extend(cls, keywords)


def _reporting_timeouts(keyword: _Keyword) -> _Keyword:
    """The keyword, with an error for a search that took too long."""

    def checked(validator: Any, wanted: Any, instance: Any, schema: Any) -> Iterator[Any]:
        from jsonschema import ValidationError

        try:
            yield from keyword(validator, wanted, instance, schema)
        except PatternTimeoutError as error:
            yield ValidationError(str(error), cause=error)

    return checked


def _pattern(validator: Any, wanted: str, instance: Any, schema: Any) -> Iterator[Any]:
    from jsonschema import ValidationError

    if isinstance(instance, str) and not compile_pattern(wanted).search(instance):
        yield ValidationError(f"{instance!r} does not match {wanted!r}")


def _pattern_properties(validator: Any, wanted: Mapping[str, Any], instance: Any, schema: Any) -> Iterator[Any]:
    if isinstance(instance, dict):
        for pattern, part in wanted.items():
            for key, value in instance.items():
                if compile_pattern(pattern).search(key):
                    yield from validator.descend(value, part, path=key, schema_path=pattern)


def _additional_properties(validator: Any, wanted: Any, instance: Any, schema: Any) -> Iterator[Any]:
    from jsonschema import ValidationError

    if not isinstance(instance, dict):
        return
    named, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    extra = [key for key in instance if key not in named and not matches_any(patterns, key)]
    if isinstance(wanted, dict):
        for key in extra:
            yield from validator.descend(instance[key], wanted, path=key)
    elif not wanted and extra:
        yield ValidationError(f"Additional properties are not allowed ({_unexpected(extra)})")


def _unevaluated_properties(root: dict[str, Any]) -> _Keyword:
    """The keyword for a schema whose references point into ``root``."""

    def unevaluated(validator: Any, wanted: Any, instance: Any, schema: Any) -> Iterator[Any]:
        from jsonschema import ValidationError

        if not isinstance(instance, dict):
            return
        evaluated = _evaluated_keys(validator, instance, {**schema, "unevaluatedProperties": None}, root)
        left = [
            key
            for key, value in instance.items()
            if key not in evaluated and not validator.evolve(schema=wanted).is_valid(value)
        ]
        if left:
            yield ValidationError(f"Unevaluated properties are not allowed ({_unexpected(left)})")

    return _reporting_timeouts(unevaluated)


def _unexpected(keys: list[str]) -> str:
    return f"{', '.join(map(repr, keys))} {'was' if len(keys) == 1 else 'were'} unexpected"


def _evaluated_keys(validator: Any, instance: dict[str, Any], schema: Any, root: dict[str, Any]) -> set[str]:
    """The keys of a value that a schema says something about."""
    if not isinstance(schema, dict):
        return set()

    def accepts(part: Any, value: Any) -> bool:
        return bool(validator.evolve(schema=part).is_valid(value))

    keys = {key for key in instance if key in schema.get("properties", {})}
    keys.update(key for key in instance if matches_any(schema.get("patternProperties", ()), key))
    for keyword in ("additionalProperties", "unevaluatedProperties"):
        others = schema.get(keyword)
        if others is not None:
            keys.update(key for key, value in instance.items() if accepts(others, value))
    applied = [resolve_reference(schema["$ref"], root)] if "$ref" in schema else []
    applied += [part for key, part in schema.get("dependentSchemas", {}).items() if key in instance]
    for keyword in ("allOf", "oneOf", "anyOf"):
        applied += [part for part in schema.get(keyword, ()) if accepts(part, instance)]
    if "if" in schema:
        fits = accepts(schema["if"], instance)
        applied += [schema["if"]] if fits else []
        applied.append(schema.get("then" if fits else "else"))
    return keys.union(*(_evaluated_keys(validator, instance, part, root) for part in applied))
