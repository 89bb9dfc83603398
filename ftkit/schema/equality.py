"""Compare answers: exactly, or without regard to case, spacing and punctuation."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

__all__ = [
    "normalize_text",
    "same_answer",
    "same_normalized_value",
    "same_text",
    "same_value",
    "without_outer_space",
]

# Punctuation carries no meaning, except inside a number (1.5, 3/4, 2026-01-05) and as its sign.
_PUNCTUATION = re.compile(r"(?<=\d)[.,:/-](?=\d)|(?<!\w)-(?=\d)|[^\w\s%+]|_")


def normalize_text(text: str) -> str:
    """Remove what rarely matters: case, width, repeated spaces, punctuation outside numbers.

    ``"Type-2  Diabetes."`` and ``"type 2 diabetes"`` become equal; ``"1.5"`` and ``"15"``, ``"-5"`` and ``"5"``
    stay different.

    Args:
        text: the text.

    Returns:
        The normalised text.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    cleaned = _PUNCTUATION.sub(lambda match: match[0] if _in_number(match) else " ", folded)
    return " ".join(cleaned.split())


def _in_number(match: re.Match[str]) -> bool:
    after = match.string[match.end() : match.end() + 1]
    before = match.string[: match.start()][-1:]
    if not after.isdigit() or match[0] not in ".,:/-":
        return False
    return before.isdigit() or (match[0] == "-" and not (before.isalnum() or before == "_"))


def same_text(first: str, second: str) -> bool:
    """Compare two texts. The two ways to encode an accented letter in Unicode (NFC, NFD) are equal.

    Args:
        first: a text.
        second: another text.

    Returns:
        Whether they have the same characters.
    """
    return first == second or unicodedata.normalize("NFC", first) == unicodedata.normalize("NFC", second)


def without_outer_space(value: Any) -> Any:
    """Return an answer as it is compared: a text without the whitespace around it.

    Args:
        value: an answer.

    Returns:
        The text without it; any other value as it is.
    """
    return value.strip() if isinstance(value, str) else value


def same_answer(first: Any, second: Any) -> bool:
    """Compare two answers: values like :func:`same_value`, texts without the whitespace around them.

    Args:
        first: an answer as a plain value.
        second: another answer.

    Returns:
        Whether they are equal.
    """
    return same_value(without_outer_space(first), without_outer_space(second))


def same_value(first: Any, second: Any) -> bool:
    """Compare two JSON values: ``3`` equals ``3.0``, ``true`` is not a number, keys may be in any order.

    Args:
        first: a JSON value.
        second: another JSON value.

    Returns:
        Whether they are equal.
    """
    return _same(first, second, loose=False)


def same_normalized_value(first: Any, second: Any) -> bool:
    """Compare two JSON values like :func:`same_value`, with every text normalised.

    Args:
        first: a JSON value.
        second: another JSON value.

    Returns:
        Whether they are equal.
    """
    return _same(first, second, loose=True)


def _same(first: Any, second: Any, *, loose: bool) -> bool:
    if isinstance(first, str) and isinstance(second, str):
        return normalize_text(first) == normalize_text(second) if loose else same_text(first, second)
    if isinstance(first, bool) or isinstance(second, bool):
        return first is second
    if isinstance(first, int | float) and isinstance(second, int | float):
        return first == second
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(_same(first[key], second[key], loose=loose) for key in first)
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(_same(a, b, loose=loose) for a, b in zip(first, second, strict=True))
    return first is None and second is None
