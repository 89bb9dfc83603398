"""Texts in the form in which they are compared."""

from __future__ import annotations

import hashlib
import re
import unicodedata

__all__ = ["SHINGLE", "excerpt", "key", "normalised", "percent", "shingles", "words_of"]

SHINGLE = 3
"""Words in a shingle. With three, one word changed in a text of n words leaves a Jaccard similarity of (n−5)/(n+1)."""

_WORD = re.compile(r"\w+")
_ASCII_WORD = re.compile(r"[0-9a-z_]+")


def words_of(text: str) -> list[str]:
    """The words, compatibility forms unified and case folded; punctuation and blanks are gone."""
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def normalised(words: list[str], text: str) -> str:
    """One text for all that differ only in case, blanks and punctuation; a text without any word stays as it is."""
    return " ".join(words) if words else text.strip()


def shingles(words: list[str]) -> list[str]:
    """Every run of :data:`SHINGLE` words."""
    return list(map(" ".join, zip(words, words[1:], words[2:], strict=False)))


def key(text: str) -> int:
    """64 bits of BLAKE2b: the same in every process. Two different texts of ten million share one with odds of 3e-6."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def excerpt(text: str, at: int = 0, end: int | None = None, width: int = 80) -> str:
    """About ``width`` characters of ``text`` around the span from ``at`` to ``end``, on one line.

    Characters that cannot be seen are written as escapes.
    """
    end = at if end is None else end
    begin = max(0, min(at - (width - (end - at)) // 2, len(text) - width))
    piece = text[begin : begin + width]
    shown = "".join(
        c if c == " " or (c.isprintable() and unicodedata.category(c) != "Cf") else _escaped(c) for c in piece
    )
    return ("…" if begin else "") + shown + ("…" if begin + width < len(text) else "")


def _escaped(character: str) -> str:
    return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(character) or f"\\u{ord(character):04x}"


def percent(share: float, digits: int = 0) -> str:
    """``0.973`` as ``97 %``."""
    return f"{share:.{digits}%}".replace("%", " %")
