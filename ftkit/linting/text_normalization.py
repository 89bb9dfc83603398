"""Texts in the form in which rules compare them."""

from __future__ import annotations

import hashlib
import re
import unicodedata

__all__ = ["SHINGLE", "excerpt", "is_blank", "is_indented", "normalize", "percent", "shingles", "text_hash", "words_of"]

SHINGLE = 3
"""Words in a shingle. With three, one changed word in a text of n words leaves a Jaccard similarity of (n−5)/(n+1)."""

_INDENTED_LINE = re.compile(r"^(?:\t| {2})[ \t]*\S", re.MULTILINE)
_WORD = re.compile(r"\w+")
_ASCII_WORD = re.compile(r"[0-9a-z_]+")


def is_indented(text: str) -> bool:
    """Return whether a text looks like code or another text whose whitespace is content.

    Args:
        text: any text.

    Returns:
        Whether a line begins with a tab or two spaces.
    """
    return _INDENTED_LINE.search(text) is not None


def is_blank(text: str) -> bool:
    """Return whether a text has nothing to read: only whitespace and invisible characters.

    Args:
        text: any text.

    Returns:
        Whether it has none.
    """
    return not text.strip() or (
        not text.isascii() and all(c.isspace() or unicodedata.category(c) in ("Cf", "Cc") for c in text)
    )


def words_of(text: str) -> list[str]:
    """Split a text into words, without punctuation, in Unicode form NFKC and case-folded.

    Args:
        text: any text.

    Returns:
        The words, in order.
    """
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def normalize(words: list[str], text: str) -> str:
    """Return one text for all texts that differ only in case, whitespace and punctuation.

    Args:
        words: the words of ``text``, see :func:`words_of`.
        text: the text.

    Returns:
        The words joined by spaces; the stripped text if it has no word.
    """
    return " ".join(words) if words else text.strip()


def shingles(words: list[str]) -> list[str]:
    """Return every run of :data:`SHINGLE` words.

    Args:
        words: the words of a text.

    Returns:
        The runs, each joined by spaces, in order.
    """
    return list(map(" ".join, zip(words, words[1:], words[2:], strict=False)))


def text_hash(text: str) -> int:
    """Hash a text to 64 bits (BLAKE2b), equal in every process.

    Among ten million different texts, two share a hash with probability 3e-6.

    Args:
        text: any text.

    Returns:
        An unsigned integer of 64 bits.
    """
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def excerpt(text: str, start: int = 0, end: int | None = None, width: int = 80) -> str:
    """Cut a text to one line around a span. Invisible characters become escapes.

    Args:
        text: the text.
        start: first character of the span.
        end: character after the span; ``start`` by default.
        width: characters to show, about.

    Returns:
        The characters around the span, with ``…`` where text was cut off.
    """
    end = start if end is None else end
    begin = max(0, min(start - (width - (end - start)) // 2, len(text) - width))
    shown = "".join(
        c if c == " " or (c.isprintable() and unicodedata.category(c) != "Cf") else _escaped(c)
        for c in text[begin : begin + width]
    )
    return ("…" if begin else "") + shown + ("…" if begin + width < len(text) else "")


def _escaped(character: str) -> str:
    return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(character) or f"\\u{ord(character):04x}"


def percent(share: float, digits: int = 0) -> str:
    """Format a share as a percentage, ``0.973`` as ``97 %``.

    Args:
        share: from 0 to 1.
        digits: digits after the point.

    Returns:
        The percentage.
    """
    return f"{share:.{digits}%}".replace("%", " %")
