"""Infer an output from wanted answers: a first schema for users who have rows and no schema."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from ftkit.errors import ConfigError, OutputError
from ftkit.schema.choice_output import ChoiceOutput
from ftkit.schema.json_output import JsonOutput
from ftkit.schema.json_text import read_json
from ftkit.schema.json_values import to_json
from ftkit.schema.output import Output
from ftkit.schema.text_output import TextOutput

__all__ = ["infer_output"]

_MAX_CHOICES = 50
_MIN_COUNT = 2
_MIN_MEAN_COUNT = 3
_TYPES = ("object", "array", "string", "integer", "number", "boolean", "null")
"""The order in which a schema names several types."""


def infer_output(values: Iterable[Any], *, name: str = "answer") -> Output:
    """Infer the narrowest output that allows all of some answers.

    - Strings become a :class:`ChoiceOutput` if there are at most 50 different ones, each occurs at least twice, and
      three times on average; else a :class:`TextOutput`. Whitespace around a string does not count.
    - Anything else becomes a :class:`JsonOutput`: the union of all types, keys required where they always occur, no
      other keys. Strings that all are JSON objects or arrays, as in CSV files, are read as these.

    What the answers do not show is left open: a key that is always null may also be a string, and the items of an array
    that is always empty and the keys of an object that is always empty may be anything.

    Args:
        values: wanted answers; read once. Blank strings, which no output of text allows, are skipped.
        name: name of the :class:`JsonOutput`.

    Returns:
        The output.

    Raises:
        ConfigError: there are no values.
        OutputError: a value that JSON cannot hold.
    """
    texts = _TextCounter()
    as_given, as_read = _ShapeCounter(), _ShapeCounter()
    for value in values:
        if isinstance(value, str) and not value.strip():
            continue
        plain = to_json(value)
        texts.add(plain)
        as_given.add(plain)
        if texts.may_be_json:
            as_read.add(texts.last_read)
    if not as_given.types:
        raise ConfigError("there are no wanted answers to infer an output from")
    if texts.any and texts.may_be_json:
        return JsonOutput(name=name, json_schema=as_read.schema())
    if set(as_given.types) != {"string"}:
        return JsonOutput(name=name, json_schema=as_given.schema())
    choices = texts.choices()
    return TextOutput() if choices is None else ChoiceOutput(choices=choices)


class _TextCounter:
    """Finds out whether the strings are a few choices, JSON, or neither. Stops counting when there are many."""

    def __init__(self) -> None:
        self.any = False
        self.may_be_json = True
        """Whether every string so far is a JSON object or array."""
        self.last_read: Any = None
        """The last value, read as JSON if it is a string."""
        self._counts: Counter[str] | None = Counter()

    def add(self, value: Any) -> None:
        self.last_read = value
        if not isinstance(value, str):
            return
        self.any = True
        self.may_be_json = self.may_be_json and self._read(value)
        if self._counts is not None:
            self._counts[value.strip()] += 1
            if len(self._counts) > _MAX_CHOICES:
                self._counts = None

    def _read(self, text: str) -> bool:
        try:
            self.last_read = read_json(text)
        except OutputError:  # then the strings are texts, which is an answer too
            return False
        return isinstance(self.last_read, dict | list)

    def choices(self) -> tuple[str, ...] | None:
        """The different strings in alphabetical order, so that the order of the rows changes no prompt."""
        counts = self._counts
        if counts is None or len(counts) < 2 or min(counts.values()) < _MIN_COUNT:
            return None
        return tuple(sorted(counts)) if counts.total() >= _MIN_MEAN_COUNT * len(counts) else None


class _ShapeCounter:
    """Counts the types at one path of the values, and the types below it."""

    def __init__(self) -> None:
        self.types: Counter[str] = Counter()
        self._keys: list[str] = []
        self._parts: dict[str, _ShapeCounter] = {}
        self._present: Counter[str] = Counter()
        self._items: _ShapeCounter | None = None

    def add(self, value: Any) -> None:
        kind = _type(value)
        self.types[kind] += 1
        if kind == "object":
            self._add_keys(value)
        elif kind == "array":
            for item in value:
                if self._items is None:
                    self._items = _ShapeCounter()
                self._items.add(item)

    def _add_keys(self, value: dict[str, Any]) -> None:
        before = 0
        for key, item in value.items():
            if key not in self._parts:
                # Behind the key that it follows here, so that keys which some rows leave out keep their place.
                self._keys.insert(before, key)
                self._parts[key] = _ShapeCounter()
                before += 1
            else:
                before = self._keys.index(key) + 1
            self._parts[key].add(item)
            self._present[key] += 1

    def schema(self) -> dict[str, Any]:
        types = [kind for kind in _TYPES if kind in self.types]
        if "integer" in types and "number" in types:
            types.remove("integer")
        if types == ["null"]:
            types = ["string", "null"]
        found: dict[str, Any] = {"type": types[0] if len(types) == 1 else types}
        if self._items is not None:
            found["items"] = self._items.schema()
        if self._keys:
            found["properties"] = {key: self._parts[key].schema() for key in self._keys}
            found["required"] = [key for key in self._keys if self._present[key] == self.types["object"]]
            found["additionalProperties"] = False
        return found


def _type(value: Any) -> str:
    if value is None:
        return "null"
    names = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", float: "number"}
    return names[type(value)]
