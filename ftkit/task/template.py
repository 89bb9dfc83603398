"""The input template: ``"{note}"``, ``"{patient.name}, {patient[age]}: {notes[0]}"``.

Not :meth:`str.format`, which would read attributes of Python objects and apply formats. A field is a column, then
keys of the dicts or indices of the lists in it; nothing else can be reached.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from ftkit.error_text import name_list
from ftkit.errors import ConfigError, OutputError
from ftkit.schema.json_values import to_json

__all__ = ["Template"]

_STEP = re.compile(r"\.?(?P<name>[^.\[\]{}:!]+)|\[(?P<key>[^\[\]]+)\]")


@dataclass(frozen=True, slots=True)
class _Field:
    text: str  # as written, without braces
    path: tuple[str, ...]


class Template:
    """A parsed template.

    Args:
        source: the template's text.

    Raises:
        ConfigError: an unmatched brace, a format spec or conversion, or no column.
    """

    def __init__(self, source: str) -> None:
        self._parts: list[str | _Field] = []
        self._source = source
        self._read()
        fields = [part for part in self._parts if isinstance(part, _Field)]
        if not fields:
            raise ConfigError(
                f'the input template "{_short(source)}" reads no column; write "{{note}}" for column note'
            )
        self.columns = tuple(dict.fromkeys(field.path[0] for field in fields))

    @staticmethod
    @functools.lru_cache(maxsize=128)
    def of(source: str) -> Template:
        """Parse a template; cached, because every row of a dataset uses it.

        Args:
            source: the template's text.

        Returns:
            The template.
        """
        return Template(source)

    def render(self, columns: Mapping[str, Any]) -> str:
        """Fill in the values of a row.

        Strings are inserted as they are, None as nothing, dates in ISO 8601, any other value as JSON.

        Args:
            columns: the row's columns.

        Returns:
            The text.

        Raises:
            ConfigError: a column or a key is missing, or a value cannot be written as JSON.
        """
        return "".join(part if isinstance(part, str) else _value_text(part, columns) for part in self._parts)

    def _read(self) -> None:
        source, at, literal = self._source, 0, ""
        while at < len(source):
            character = source[at]
            if character in "{}" and source[at + 1 : at + 2] == character:
                literal += character
                at += 2
            elif character == "}":
                self._refuse(at, 'a "}" that closes nothing; write "}}" for the character itself')
            elif character == "{":
                end = source.find("}", at)
                inside = source[at + 1 : end]
                if end < 0 or "{" in inside:
                    self._refuse(at, 'a "{" that is not closed; write "{{" for the character itself')
                self._parts += [literal, self._field(inside, at)]
                literal, at = "", end + 1
            else:
                literal += character
                at += 1
        self._parts.append(literal)

    def _field(self, inside: str, at: int) -> _Field:
        text = inside.strip()
        if not text:
            self._refuse(at, 'a field without a name; write "{note}" for column note, "{{}}" for the characters {}')
        path: list[str] = []
        reached = 0
        while reached < len(text):
            step = _STEP.match(text, reached)
            if step is None or (not path and text[0] == ".") or (path and step["name"] and text[reached] != "."):
                self._refuse(
                    at,
                    f'"{{{_short(inside)}}}", which is no column; formats (":") and conversions ("!") do not exist. '
                    "Write {column}, {column.key} or {column[key]}; for a brace itself write it twice",
                )
            path.append(step["name"] or step["key"])
            reached = step.end()
        return _Field(text, tuple(path))

    def _refuse(self, at: int, what: str) -> NoReturn:
        raise ConfigError(f'the input template "{_short(self._source)}" has, at character {at + 1}, {what}')


def _value_text(field: _Field, columns: Mapping[str, Any]) -> str:
    value: Any = columns
    for depth, step in enumerate(field.path):
        if isinstance(value, Mapping) and step in value:
            value = value[step]
        elif isinstance(value, list | tuple) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            raise ConfigError(_missing_message(field, depth, value))
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    try:
        plain = to_json(value)
    except OutputError as error:
        raise ConfigError(f'column "{field.text}" cannot be put into the prompt: {error.message}') from error
    return plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)


def _missing_message(field: _Field, depth: int, value: Any) -> str:
    step = field.path[depth]
    if depth == 0:
        present = name_list(value)
        return (
            f'the task\'s input reads the column "{step}", and the row has no such column; its columns are: {present}'
        )
    before = ".".join(field.path[:depth])
    if isinstance(value, Mapping):
        there = f"its keys are: {', '.join(str(name) for name in value) or 'none'}"
    elif isinstance(value, list | tuple):
        there = f"it is a list of {len(value)}, read by index: {before}[0]"
    else:
        there = "it is empty" if value is None else f"it is a {type(value).__name__}"
    return f'the task\'s input reads "{field.text}", and "{before}" has no "{step}": {there}'


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:60] + "…"
