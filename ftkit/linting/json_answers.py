"""JSON answers as texts: their fields, contradictions between two of them, and text around the JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from ftkit.errors import OutputError
from ftkit.linting.row_view import RowView
from ftkit.linting.text_normalization import words_of
from ftkit.schema.json_text import read_json

__all__ = [
    "JsonWrapping",
    "contain_digit",
    "contradicted_fields",
    "differing_words",
    "field_spans",
    "find_wrapping",
]

_DECODER = json.JSONDecoder()
_SEPARATORS = re.compile(r"[\s,:]*")
_OPENING_FENCE = re.compile(r"(?:```|~~~)[ \t]*+[\w+-]*+")
_MAX_STARTS = 100
"""Brackets from which a text is read as JSON. Each attempt may read the whole text."""


def differing_words(first: RowView, second: RowView) -> set[str]:
    """Return the words that only one of two inputs contains.

    Args:
        first: a row.
        second: another row.

    Returns:
        The words, normalized.
    """
    return set(first.input_words) ^ set(second.input_words)


def contain_digit(words: set[str]) -> bool:
    """Say whether any word contains a digit.

    Args:
        words: the words.

    Returns:
        Whether one does.
    """
    return any(character.isdigit() for word in words for character in word)


def contradicted_fields(first: RowView, second: RowView) -> Iterator[str]:
    """Find fields with different texts that the difference between the inputs does not explain.

    Case, punctuation and spacing make no difference. Numbers, and texts that contain a number, are left out: a sum or a
    duration may depend on any word of the input.

    Args:
        first: a row.
        second: a row with a similar input.

    Yields:
        Names of top-level fields.
    """
    if not isinstance(first.value, dict) or not isinstance(second.value, dict):
        return
    input_difference = differing_words(first, second)
    for name in first.value.keys() & second.value.keys():
        left, right = first.value[name], second.value[name]
        if isinstance(left, str) and isinstance(right, str):
            left_words, right_words = words_of(left), words_of(right)
            words = {*left_words, *right_words}
            if left_words != right_words and not words & input_difference and not contain_digit(words):
                yield name


def field_spans(text: str) -> dict[str, tuple[int, int]]:
    """Locate the values of the top-level fields of a JSON object.

    Args:
        text: the JSON.

    Returns:
        By name, the first character of the value and the one after its last.

    Raises:
        ValueError: the text is not a JSON object.
    """
    spans = {}
    at = _SEPARATORS.match(text, text.index("{") + 1).end()  # type: ignore[union-attr]
    while not text.startswith("}", at):
        name, at = _DECODER.raw_decode(text, at)
        at = _SEPARATORS.match(text, at).end()  # type: ignore[union-attr]
        _, end = _DECODER.raw_decode(text, at)
        spans[str(name)] = (at, end)
        at = _SEPARATORS.match(text, end).end()  # type: ignore[union-attr]
    return spans


@dataclass(frozen=True, slots=True)
class JsonWrapping:
    """Text around JSON.

    Attributes:
        kind: ``fence`` for a Markdown fence and nothing else, ``text`` for other text.
        inside: the JSON as written.
        around: the text around it; empty for a fence.
    """

    kind: Literal["fence", "text"]
    inside: str
    around: str


def find_wrapping(text: str | None) -> JsonWrapping | None:
    """Find what surrounds the JSON object or list in a text.

    Args:
        text: the text, if any.

    Returns:
        The wrapping; None if the text is JSON alone, or contains none.
    """
    if text is None or ("{" not in text and "[" not in text):
        return None
    body = text.strip()
    if body[0] in "{[" and body[-1] in "}]" and _is_json(body):
        return None
    opening = _OPENING_FENCE.match(body)
    if opening is not None and len(body) - 3 >= opening.end() and body.endswith(("```", "~~~")):
        inside = body[opening.end() : -3].strip()
        if _is_json(inside):
            return JsonWrapping("fence", inside, "")
    for start in (match.start() for match in islice(re.finditer(r"[{\[]", body), _MAX_STARTS)):
        try:
            value, end = _DECODER.raw_decode(body, start)
        except (ValueError, RecursionError):
            continue
        # A bracketed remark in prose is not an answer: only an object with keys that fills most of the text is.
        if isinstance(value, dict) and value and (end - start) * 2 > len(body):
            return JsonWrapping("text", body[start:end], (body[:start] + " … " + body[end:]).strip())
        return None
    return None


def _is_json(text: str) -> bool:
    try:
        return isinstance(read_json(text), dict | list)
    except OutputError:
        return False
