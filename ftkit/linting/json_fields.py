"""The fields at the top of JSON answers: where they stand in the text, and which of two rows' contradict each other."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from ftkit.linting.row_view import Seen
from ftkit.linting.text_normalization import words_of

__all__ = ["contradicted_fields", "digits_in", "field_spans", "words_apart"]

_DECODER = json.JSONDecoder()
_BETWEEN = re.compile(r"[\s,:]*")


def words_apart(one: Seen, other: Seen) -> set[str]:
    """The words that stand in one of two questions only."""
    return set(one.input_words) ^ set(other.input_words)


def digits_in(words: set[str]) -> bool:
    """Whether a number is among them."""
    return any(character.isdigit() for word in words for character in word)


def contradicted_fields(one: Seen, other: Seen) -> Iterator[str]:
    """Fields that hold different texts although the words in which the questions differ have nothing to do with them.
    Case, punctuation and spacing make no difference.

    Numbers, and texts with a number in them, are left out: a sum or a duration may depend on any word.
    """
    if not isinstance(one.value, dict) or not isinstance(other.value, dict):
        return
    apart = words_apart(one, other)
    for name in one.value.keys() & other.value.keys():
        mine, theirs = one.value[name], other.value[name]
        if isinstance(mine, str) and isinstance(theirs, str):
            said, also = words_of(mine), words_of(theirs)
            every = {*said, *also}
            if said != also and not every & apart and not digits_in(every):
                yield name


def field_spans(text: str) -> dict[str, tuple[int, int]]:
    """Of each field at the top of a JSON object, from which character of the text to which its value stands.

    Raises:
        ValueError: the text is no JSON object.
    """
    found = {}
    at = _BETWEEN.match(text, text.index("{") + 1).end()  # type: ignore[union-attr]
    while not text.startswith("}", at):
        name, at = _DECODER.raw_decode(text, at)
        at = _BETWEEN.match(text, at).end()  # type: ignore[union-attr]
        _, end = _DECODER.raw_decode(text, at)
        found[str(name)] = (at, end)
        at = _BETWEEN.match(text, end).end()  # type: ignore[union-attr]
    return found
