"""Grammars of llguidance for JSON Schemas: what of a schema it can hold, and where it cannot."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ftkit.errors import ConfigError
from ftkit.extras import require
from ftkit.schema.held_schema import Unheld, held_part
from ftkit.schema.json_path import json_path
from ftkit.schema.keywords import map_placed_subschemas

__all__ = ["JSON_FORMAT", "HeldSchema", "hold_schema"]

JSON_FORMAT = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
"""The same whitespace as in training targets, so that the model sees only what it was trained on."""

_PROBE_SECONDS = 0.5
"""How long parts of a schema are compiled by themselves to find the one at fault."""

_Steps = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class HeldSchema:
    """A JSON Schema as the grammar library takes it.

    Attributes:
        schema: the part of the schema that answers are held to, with the library's options in ``x-guidance``.
        unheld: the keywords that answers are not held to.
    """

    schema: dict[str, Any]
    unheld: tuple[Unheld, ...]


def hold_schema(schema: dict[str, Any], tokens: Any, *, strict: bool) -> HeldSchema:
    """Work out what of a schema answers can be held to.

    Args:
        schema: a valid JSON Schema of draft 2020-12.
        tokens: the tokenizer as llguidance takes it.
        strict: refuse a schema that cannot be held as a whole.

    Returns:
        The schema to compile.

    Raises:
        ConfigError: no value is valid, the schema is too large, or, if ``strict``, a keyword cannot be held; names the
            keyword and its JSON path.
    """
    compiler = _Compiler(tokens)
    try:
        kept, unheld = held_part(schema, holds_pattern=compiler.holds_pattern)
        if not isinstance(kept, dict):
            raise ConfigError('no answer is valid: "not" at $ forbids every value')
        options: dict[str, Any] = dict(JSON_FORMAT)
        error = compiler.error(kept, options)
        if error is not None and "oneOf" in error:
            options["coerce_one_of"] = True  # as anyOf: alternatives that overlap cannot be distinguished while writing
            unheld += [Unheld("oneOf", json_path(steps)) for steps in compiler.overlapping(kept)]
            error = compiler.error(kept, options)
        if error is not None:
            raise compiler.explained(kept, options, error)
    except RecursionError:
        raise ConfigError("the schema is nested too deep to hold answers to it") from None
    if strict and unheld:
        listed = ", ".join(map(str, unheld[:5])) + (", …" if len(unheld) > 5 else "")
        raise ConfigError(
            f"decoding cannot be constrained to {listed}; leave it out of the schema, or do not constrain"
        )
    return HeldSchema({"x-guidance": options, **kept}, tuple(unheld))


class _Compiler:
    """Compiles parts of a schema by themselves."""

    def __init__(self, tokens: Any) -> None:
        self._matcher = require("llguidance", extra="local", needed_for="constraining answers to the schema").LLMatcher
        self._tokens = tokens
        self._patterns: dict[str, bool] = {}
        self._end = time.monotonic() + _PROBE_SECONDS

    @property
    def _in_time(self) -> bool:
        return time.monotonic() < self._end

    def error(self, schema: Any, options: dict[str, Any]) -> str | None:
        """What the library says against a schema; None if it compiles."""
        whole = schema if isinstance(schema, dict) else {"anyOf": [schema]}
        try:
            grammar = self._matcher.grammar_from_json_schema(json.dumps(whole), overrides=options)
        except ValueError:  # the library reads JSON of at most 128 levels
            raise ConfigError("the schema is nested too deep to hold answers to it") from None
        matcher = self._matcher(self._tokens, grammar, log_level=0)  # unlike its validation, this frees the interpreter
        return str(matcher.get_error()) if matcher.is_error() else None

    def holds_pattern(self, pattern: str) -> bool:
        if pattern not in self._patterns:
            if not self._in_time:
                return True  # the schema is compiled as a whole, and refused if it is not
            found = self.error({"type": "string", "pattern": pattern}, JSON_FORMAT)
            # A pattern that no string fits is held, and refused with its place.
            self._patterns[pattern] = found is None or found.startswith("Unsatisfiable")
        return self._patterns[pattern]

    def overlapping(self, root: dict[str, Any]) -> Iterator[_Steps]:
        """The places of ``oneOf`` whose alternatives may overlap."""
        for steps, part in _parts(root):
            if "oneOf" in part:
                alone = _with_definitions({"oneOf": part["oneOf"]}, root)
                if not self._in_time or self.error(alone, JSON_FORMAT):
                    yield steps

    def explained(self, root: dict[str, Any], options: dict[str, Any], error: str) -> ConfigError:
        """Find the innermost part at fault, and the keyword without which it compiles."""
        for steps, part in reversed(_parts(root)):
            if not self._in_time:
                break
            found = self.error(_with_definitions(part, root), options)
            if found is None:
                continue
            keyword = self._keyword_at_fault(part, root, options)
            what = f'"{keyword}" at {json_path(steps)}' if keyword else json_path(steps)
            if found.startswith("Unsatisfiable"):
                return ConfigError(f"no answer is valid: nothing satisfies {what} together with what stands beside it")
            return ConfigError(f"decoding cannot be constrained to {what}: it is too large or too complex")
        if error.startswith("Unsatisfiable"):
            return ConfigError("no answer is valid: the parts of the schema contradict each other")
        return ConfigError("decoding cannot be constrained to the schema: it is too large or too complex")

    def _keyword_at_fault(self, part: dict[str, Any], root: dict[str, Any], options: dict[str, Any]) -> str | None:
        for keyword in sorted(part, key=lambda key: key in ("type", "properties", "items")):
            if not self._in_time:
                break
            rest = {key: value for key, value in part.items() if key != keyword}
            if keyword not in ("$defs", "definitions") and self.error(_with_definitions(rest, root), options) is None:
                return keyword
        return None


def _parts(root: dict[str, Any]) -> list[tuple[_Steps, dict[str, Any]]]:
    """Every schema inside ``root``, itself first, each before what is inside it."""
    found: list[tuple[_Steps, dict[str, Any]]] = []
    pending: list[tuple[_Steps, Any]] = [((), root)]
    while pending:
        steps, part = pending.pop()
        if isinstance(part, dict):
            found.append((steps, part))
            inside: list[tuple[_Steps, Any]] = []

            def collect(
                item: Any, place: _Steps, steps: _Steps = steps, into: list[tuple[_Steps, Any]] = inside
            ) -> Any:
                into.append(((*steps, *place), item))
                return item

            map_placed_subschemas(part, collect)
            pending += reversed(inside)
    return found


def _with_definitions(part: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    """A part with what its references point to. References to elsewhere than definitions count as valid."""
    definitions: dict[str, Any] = {name: root[name] for name in ("$defs", "definitions") if name in root}
    return {**part, **definitions}
