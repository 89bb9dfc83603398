"""When two values count as the same answer."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

__all__ = ["normalised", "same_text", "same_value", "same_value_normalised"]

# Punctuation carries no meaning, except inside a number (1.5, 3/4, 2026-01-05) and as its sign.
_PUNCTUATION = re.compile(r"(?<=\d)[.,:/-](?=\d)|(?<!\w)-(?=\d)|[^\w\s%+]|_")


def normalised(text: str) -> str:
    """``text`` without what rarely matters: case, width, repeated spaces, punctuation outside numbers.

    ``"Type-2  Diabetes."`` and ``"type 2 diabetes"`` become the same; ``"1.5"`` and ``"15"``, ``"-5"`` and ``"5"``
    stay different.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    kept = _PUNCTUATION.sub(lambda found: found[0] if _in_number(found) else " ", folded)
    return " ".join(kept.split())


def _in_number(found: re.Match[str]) -> bool:
    after = found.string[found.end() : found.end() + 1]
    before = found.string[: found.start()][-1:]
    if not after.isdigit() or found[0] not in ".,:/-":
        return False
    return before.isdigit() or (found[0] == "-" and not (before.isalnum() or before == "_"))


def same_text(first: str, second: str) -> bool:
    """The same characters; the two ways Unicode has to write an accented letter (NFC, NFD) count as one."""
    return first == second or unicodedata.normalize("NFC", first) == unicodedata.normalize("NFC", second)


def same_value(first: Any, second: Any) -> bool:
    """The same JSON value: numbers by their size (``3`` is ``3.0``), ``true`` is no number, keys in any order."""
    return _same(first, second, loose=False)


def same_value_normalised(first: Any, second: Any) -> bool:
    """:func:`same_value`, with every text in it compared as :func:`normalised`."""
    return _same(first, second, loose=True)


def _same(first: Any, second: Any, *, loose: bool) -> bool:
    if isinstance(first, str) and isinstance(second, str):
        return normalised(first) == normalised(second) if loose else same_text(first, second)
    if isinstance(first, bool) or isinstance(second, bool):
        return first is second
    if isinstance(first, int | float) and isinstance(second, int | float):
        return first == second
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(_same(first[key], second[key], loose=loose) for key in first)
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(_same(a, b, loose=loose) for a, b in zip(first, second, strict=True))
    return first is None and second is None
