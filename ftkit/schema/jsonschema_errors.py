"""Convert jsonschema's errors to ftkit's five kinds of problem, each with its JSON path."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ftkit.errors import OutputError, OutputProblem
from ftkit.patterns import PatternTimeoutError
from ftkit.schema.bounded_validator import matches_any
from ftkit.schema.json_path import json_path

if TYPE_CHECKING:
    from jsonschema import ValidationError

__all__ = ["output_errors"]

DeclaredKeys = Callable[[dict[str, Any]], set[str]]
_Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class _Violation:
    problem: OutputProblem
    path: _Path
    message: str
    expected: tuple[str, ...] = ()  # wrong_type: the types; enum and const: the values, as JSON
    is_consequence: bool = False  # follows from another violation, if there is one


def output_errors(errors: Iterable[ValidationError], text: str, declared: DeclaredKeys) -> list[OutputError]:
    """Convert the errors of a value, each once and in jsonschema's order.

    Args:
        errors: what ``iter_errors`` of a jsonschema validator yields.
        text: the model's whole text, for the errors.
        declared: returns the keys that a schema declares, also through its references and combinators.

    Returns:
        The problems.
    """
    violations = list(dict.fromkeys(violation for error in errors for violation in _of(error, declared)))
    causes = [violation for violation in violations if not violation.is_consequence]
    return [
        OutputError(
            violation.message,
            problem=violation.problem,
            path=json_path(violation.path),
            text=text,
            allowed=violation.expected if violation.problem == "invalid_value" else (),
        )
        for violation in causes or violations
    ]


def _of(error: ValidationError, declared: DeclaredKeys) -> list[_Violation]:
    path: _Path = tuple(error.absolute_path)
    value: Any = error.instance
    wanted: Any = error.validator_value
    schema: Any = error.schema
    rule = str(error.validator)
    if isinstance(error.cause, PatternTimeoutError):
        return [_Violation("invalid_value", path, str(error.cause))]
    if _is_about_key(error):  # jsonschema validates the key as a value, at the path of its object
        return [_extra(path, value)]
    if rule == "required":
        return [_missing(path, key) for key in wanted if key not in value]
    if rule == "dependentRequired":
        return [
            _missing(path, key) for trigger in wanted if trigger in value for key in wanted[trigger] if key not in value
        ]
    if rule == "additionalProperties":
        allowed, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
        extra = [key for key in value if key not in allowed and not matches_any(patterns, key)]
        return [_extra(path, key) for key in extra]
    if rule == "unevaluatedProperties":
        extra_keys = [_extra(path, key) for key in value if key not in declared(schema)]
        return extra_keys or [_Violation("extra_field", path, _shortened(error.message), is_consequence=True)]
    if error.validator is None or (rule == "not" and wanted == {}):  # the schema `false`
        if path and isinstance(path[-1], str):
            return [_extra(path[:-1], path[-1])]
        return [_Violation("invalid_value", path, f"nothing may be here, got {_shown(value)}")]
    if rule == "type":
        types = (wanted,) if isinstance(wanted, str) else tuple(wanted)
        return [_wrong_type(path, types, value)]
    if rule in ("anyOf", "oneOf"):
        return _closest(error, path, declared)
    if rule in ("enum", "const"):
        values = tuple(_json(item) for item in (wanted if rule == "enum" else [wanted]))
        return [_not_among(path, values, value)]
    return [_Violation("invalid_value", path, _message(rule, wanted, value) or _shortened(error.message))]


def _is_about_key(error: ValidationError) -> bool:
    steps = list(error.absolute_schema_path)
    return any(
        step == "propertyNames" and before not in ("properties", "patternProperties", "$defs", "dependentSchemas")
        for before, step in zip([None, *steps], steps, strict=False)
    )


def _closest(error: ValidationError, path: _Path, declared: DeclaredKeys) -> list[_Violation]:
    """The problems of the alternative that the value was most likely meant to be."""
    # Alternatives of another type are excluded, then those whose tag (a key with one or a few fixed values, as in a
    # tagged union) differs, unless all differ. Of the rest, the one with the fewest problems is taken.
    branches: dict[Any, list[_Violation]] = {}
    for child in error.context or []:
        branches.setdefault(child.relative_schema_path[0], []).extend(_of(child, declared))
    if not branches:
        return [_Violation("invalid_value", path, f"{_shown(error.instance)} fits more than one of the allowed shapes")]
    mistyped = [
        violation
        for branch in branches.values()
        for violation in branch
        if violation.problem == "wrong_type" and violation.path == path
    ]
    fitting = [
        branch
        for branch in branches.values()
        if not any(violation.problem == "wrong_type" and violation.path == path for violation in branch)
    ]
    if not fitting:
        types = dict.fromkeys(name for violation in mistyped for name in violation.expected)
        return [_wrong_type(path, tuple(types), error.instance)]
    tags = [_tag_mismatches(branch, path) for branch in fitting]
    if all(tags):
        common = {violation.path for violation in tags[0]}.intersection(
            *({violation.path for violation in tag} for tag in tags)
        )
        for place in (violation.path for violation in tags[0] if violation.path in common):
            values = dict.fromkeys(
                value for tag in tags for violation in tag if violation.path == place for value in violation.expected
            )
            instance: Any = error.instance
            for step in place[len(path) :]:
                instance = instance[step]
            return [_not_among(place, tuple(values), instance)]
    untagged = [branch for branch, tag in zip(fitting, tags, strict=True) if not tag]
    return min(untagged or fitting, key=len)


def _tag_mismatches(branch: list[_Violation], path: _Path) -> list[_Violation]:
    return [
        violation
        for violation in branch
        if violation.problem == "invalid_value"
        and violation.expected
        and len(path) <= len(violation.path) <= len(path) + 1
    ]


def _missing(path: _Path, key: str) -> _Violation:
    return _Violation("missing_field", (*path, key), "this key is missing")


def _extra(path: _Path, key: str) -> _Violation:
    return _Violation("extra_field", (*path, key), "this key is not in the schema")


def _wrong_type(path: _Path, types: tuple[str, ...], value: Any) -> _Violation:
    return _Violation("wrong_type", path, f"expected {' or '.join(types)}, got {_shown(value)}", types)


def _not_among(path: _Path, values: tuple[str, ...], value: Any) -> _Violation:
    listed = _shortened(", ".join(values))
    message = f"{_json(value)} is not {listed}" if len(values) == 1 else f"{_json(value)} is not one of {listed}"
    return _Violation("invalid_value", path, message, values)


def _message(rule: str, wanted: Any, value: Any) -> str | None:
    shown = _json(value)
    match rule:
        case "minimum":
            return f"{shown} is less than {wanted}"
        case "exclusiveMinimum":
            return f"{shown} is not greater than {wanted}"
        case "maximum":
            return f"{shown} is greater than {wanted}"
        case "exclusiveMaximum":
            return f"{shown} is not less than {wanted}"
        case "multipleOf":
            return f"{shown} is not a multiple of {wanted}"
        case "pattern":
            return f"{shown} does not match the pattern {wanted}"
        case "format":
            return f"{shown} is not a valid {wanted}"
        case "minLength":
            return f"{shown} has {len(value)} characters, fewer than {wanted}"
        case "maxLength":
            return f"{shown} has {len(value)} characters, more than {wanted}"
        case "minItems":
            return f"has {len(value)} items, fewer than {wanted}"
        case "maxItems":
            return f"has {len(value)} items, more than {wanted}"
        case "uniqueItems":
            return "an item is there more than once"
    return None


def _json(value: Any) -> str:
    return _shortened(json.dumps(value, ensure_ascii=False))


def _shown(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return f"boolean {_json(value)}"
        case int() | float():
            return f"number {_json(value)}"
        case str():
            return f"string {_json(value)}"
        case list():
            return f"array {_json(value)}"
    return f"object {_json(value)}"


def _shortened(text: str) -> str:
    return text if len(text) <= 120 else text[:120] + "…"
