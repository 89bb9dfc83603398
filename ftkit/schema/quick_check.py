"""A fast check that a value is valid, for the schemas that most tasks have.

``jsonschema`` walks the schema anew for every value. Nearly every row of a dataset is valid, so a check that is
compiled once saves most of that work: it answers "certainly valid" or "ask jsonschema", which also explains what is
wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ftkit.patterns import PatternTimeoutError, compile_pattern
from ftkit.schema.keywords import ANNOTATIONS

__all__ = ["QuickCheck", "compile_quick_check"]

QuickCheck = Callable[[Any], bool]
"""Whether a value is certainly valid; False when jsonschema has to decide."""

_SCALARS = (str, int, float, bool, type(None))

_TYPES: dict[str, QuickCheck] = {
    "null": lambda value: value is None,
    "boolean": lambda value: value is True or value is False,
    "integer": lambda value: type(value) is int,
    "number": lambda value: type(value) is int or type(value) is float,
    "string": lambda value: type(value) is str,
    "array": lambda value: type(value) is list,
    "object": lambda value: type(value) is dict,
}


class _UnsupportedError(Exception):
    """The schema has a keyword that only jsonschema knows."""


def compile_quick_check(schema: Any) -> QuickCheck | None:
    """Compile a schema of draft 2020-12 into a function.

    Args:
        schema: a valid schema without references, as :func:`ftkit.schema.references.inlined` returns it.

    Returns:
        The check; None if the schema has a keyword that is not supported here, such as ``$ref``, ``oneOf`` or ``not``.
    """
    try:
        return _compile(schema)
    except _UnsupportedError:
        return None


def _compile(schema: Any) -> QuickCheck:
    if schema is True:
        return lambda value: True
    if not isinstance(schema, dict):
        raise _UnsupportedError
    checks: list[QuickCheck] = []
    keywords = {keyword: wanted for keyword, wanted in schema.items() if keyword not in ANNOTATIONS}
    if keywords.keys() & {"properties", "required", "additionalProperties"}:
        checks.append(
            _object(
                keywords.pop("properties", {}), keywords.pop("required", []), keywords.pop("additionalProperties", True)
            )
        )
    for keyword, wanted in keywords.items():
        compiler = _KEYWORDS.get(keyword)
        if compiler is None:
            raise _UnsupportedError
        checks.append(compiler(wanted))
    if len(checks) == 1:
        return checks[0]
    # The type comes first, so that the others are not asked about values of another one.
    return lambda value: all(check(value) for check in checks)


def _type(wanted: Any) -> QuickCheck:
    if isinstance(wanted, str):
        return _TYPES[wanted]
    checks = [_TYPES[name] for name in wanted]
    return lambda value: any(check(value) for check in checks)


def _enum(wanted: list[Any]) -> QuickCheck:
    if not all(isinstance(item, _SCALARS) for item in wanted):
        raise _UnsupportedError
    allowed = frozenset((type(item), item) for item in wanted)
    return lambda value: isinstance(value, _SCALARS) and (type(value), value) in allowed


def _any_of(wanted: list[Any]) -> QuickCheck:
    checks = [_compile(item) for item in wanted]
    return lambda value: any(check(value) for check in checks)


def _all_of(wanted: list[Any]) -> QuickCheck:
    checks = [_compile(item) for item in wanted]
    return lambda value: all(check(value) for check in checks)


def _object(properties: dict[str, Any], required: list[str], others: Any) -> QuickCheck:
    checks = {name: _compile(part) for name, part in properties.items()}
    other = None if others is False else _compile(others)

    def check(value: Any) -> bool:
        if not isinstance(value, dict):
            return True
        for name in required:
            if name not in value:
                return False
        for name, item in value.items():
            known = checks.get(name, other)
            if known is None or not known(item):
                return False
        return True

    return check


def _items(wanted: Any) -> QuickCheck:
    check = _compile(wanted)
    return lambda value: not isinstance(value, list) or all(check(item) for item in value)


def _numbers(accept: Callable[[Any, Any], bool]) -> Callable[[Any], QuickCheck]:
    """A keyword that limits numbers and says nothing of other values."""

    def compiled(bound: Any) -> QuickCheck:
        return lambda value: isinstance(value, bool) or not isinstance(value, int | float) or accept(value, bound)

    return compiled


def _sizes(kind: type[str] | type[list[Any]], accept: Callable[[int, Any], bool]) -> Callable[[Any], QuickCheck]:
    """A keyword that limits how long a string or an array is."""

    def compiled(bound: Any) -> QuickCheck:
        return lambda value: not isinstance(value, kind) or accept(len(value), bound)

    return compiled


def _pattern(wanted: str) -> QuickCheck:
    search = compile_pattern(wanted).search

    def check(value: Any) -> bool:
        try:
            return not isinstance(value, str) or search(value)
        except PatternTimeoutError:  # which jsonschema's validator explains
            return False

    return check


def _format(wanted: str) -> QuickCheck:
    from jsonschema import Draft202012Validator

    conforms = Draft202012Validator.FORMAT_CHECKER.conforms
    return lambda value: conforms(value, wanted)


_KEYWORDS: dict[str, Callable[[Any], QuickCheck]] = {
    "type": _type,
    "enum": _enum,
    "const": lambda wanted: _enum([wanted]),
    "anyOf": _any_of,
    "allOf": _all_of,
    "items": _items,
    "minimum": _numbers(lambda value, bound: value >= bound),
    "maximum": _numbers(lambda value, bound: value <= bound),
    "exclusiveMinimum": _numbers(lambda value, bound: value > bound),
    "exclusiveMaximum": _numbers(lambda value, bound: value < bound),
    "minLength": _sizes(str, lambda size, bound: size >= bound),
    "maxLength": _sizes(str, lambda size, bound: size <= bound),
    "minItems": _sizes(list, lambda size, bound: size >= bound),
    "maxItems": _sizes(list, lambda size, bound: size <= bound),
    "pattern": _pattern,
    "format": _format,
}
