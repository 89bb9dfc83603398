"""Write a parsed Python pattern in the syntax of another engine, so that both find the same texts.

Engines differ in what is a letter, a space, a word boundary and the end of a text, in escapes, and in nested brackets.
A pattern is therefore never handed over as written: Python parses it, and every part is written anew, in full.
"""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from re import _constants as codes  # type: ignore[attr-defined]
from typing import Any, Literal

__all__ = ["Dialect", "UnsupportedSyntaxError", "write_pattern"]

Dialect = Literal["linear", "backtracking"]
"""``linear``: Rust's regex crate. ``backtracking``: the package regex, version 0 behaviour."""

MAX_SIZE = 1_000
"""Single characters to match, with repetitions written out, up to which a pattern is searched in linear time: the time
of each character of the text grows with it."""

_SPACE = r"\t-\r\x1c- \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_CATEGORIES = {
    codes.CATEGORY_DIGIT: (r"\p{Nd}", "0-9"),
    codes.CATEGORY_SPACE: (_SPACE, r"\t-\r "),
    codes.CATEGORY_WORD: (r"\p{L}\p{N}_", "0-9A-Z_a-z"),
}
"""What a category contains, in brackets: of all characters, and with the flag ASCII."""
_NEGATED = {
    codes.CATEGORY_NOT_DIGIT: codes.CATEGORY_DIGIT,
    codes.CATEGORY_NOT_SPACE: codes.CATEGORY_SPACE,
    codes.CATEGORY_NOT_WORD: codes.CATEGORY_WORD,
}
_LETTERS_I = frozenset(map(ord, "iI\u0130\u0131"))
"""Python ignores the case of all four; other engines leave out one or two of them."""
_CASED = (*map(ord, string.ascii_letters), 0x130, 0x131)
_MAX_GROUP = 99
"""The last group that a back-reference can name without being read as an octal number."""


class UnsupportedSyntaxError(Exception):
    """A part of the pattern cannot be expressed in the dialect."""


def write_pattern(parsed: Any, flags: int, dialect: Dialect) -> tuple[str, bool]:
    """Write a pattern in a dialect.

    Args:
        parsed: what Python's parser makes of the pattern.
        flags: the flags of the whole pattern, those written inside it included.
        dialect: the engine.

    Returns:
        The pattern, and whether it contains a word boundary of Unicode words. The linear engine has other such
        boundaries than Python beside combining marks and a few other characters.

    Raises:
        UnsupportedSyntaxError: the linear engine has no such syntax, or the pattern is too large for it.
    """
    writer = _Writer(dialect)
    text = writer.sequence(parsed, flags, is_last=True)
    if dialect == "linear" and writer.size(parsed) > MAX_SIZE:
        raise UnsupportedSyntaxError
    return (f"(?i:{text})" if _folds(flags) else text), writer.has_boundary


class _Writer:
    """Writes the parts of one pattern."""

    def __init__(self, dialect: Dialect) -> None:
        self._is_linear = dialect == "linear"
        self.has_boundary = False

    def sequence(self, items: Sequence[Any], flags: int, *, is_last: bool) -> str:
        """Write parts that follow each other; ``is_last`` if nothing follows them."""
        end = len(items) - 1
        return "".join(
            self._part(code, value, flags, is_last=is_last and at == end) for at, (code, value) in enumerate(items)
        )

    def _part(self, code: Any, value: Any, flags: int, *, is_last: bool) -> str:
        match code:
            case codes.LITERAL:
                return _literal(value, flags)
            case codes.NOT_LITERAL:
                return f"[^{_member(value, flags)}]"
            case codes.ANY:
                return "(?s:.)" if flags & re.DOTALL else r"[^\n]"
            case codes.IN:
                return self._set(value, flags)
            case codes.BRANCH:
                return f"(?:{'|'.join(self.sequence(each, flags, is_last=is_last) for each in value[1])})"
            case codes.SUBPATTERN:
                return self._group(*value, flags=flags, is_last=is_last)
            case codes.MAX_REPEAT | codes.MIN_REPEAT:
                low, high, item = value
                inside = self.sequence(item, flags, is_last=is_last and high == 1)
                return f"(?:{inside}){_times(low, high)}{'?' * (code is codes.MIN_REPEAT)}"
            case codes.AT:
                return self._position(value, flags, is_last=is_last)
        if self._is_linear:
            raise UnsupportedSyntaxError
        return self._backtracking(code, value, flags)

    def _backtracking(self, code: Any, value: Any, flags: int) -> str:
        """Write what needs a search that goes back: look-around, back-references, possessive repetition."""
        match code:
            case codes.ASSERT | codes.ASSERT_NOT:
                direction, item = value
                sign = "=" if code is codes.ASSERT else "!"
                return f"(?{'<' * (direction < 0)}{sign}{self.sequence(item, flags, is_last=False)})"
            case codes.GROUPREF:
                if value > _MAX_GROUP:
                    raise UnsupportedSyntaxError
                return rf"(?:\{value})"
            case codes.GROUPREF_EXISTS:
                number, yes, no = value
                otherwise = "" if no is None else self.sequence(no, flags, is_last=False)
                return f"(?({number}){self.sequence(yes, flags, is_last=False)}|{otherwise})"
            case codes.ATOMIC_GROUP:
                return f"(?>{self.sequence(value, flags, is_last=False)})"
            case codes.POSSESSIVE_REPEAT:
                low, high, item = value
                return f"(?:{self.sequence(item, flags, is_last=False)}){_times(low, high)}+"
        raise UnsupportedSyntaxError

    def _group(
        self, number: int | None, added: int, removed: int, item: Sequence[Any], *, flags: int, is_last: bool
    ) -> str:
        inner = (flags | added) & ~removed
        text = self.sequence(item, inner, is_last=is_last)
        if _folds(inner) != _folds(flags):
            text = f"(?{'' if _folds(inner) else '-'}i:{text})"
        return f"({text})" if number is not None else f"(?:{text})"

    def _position(self, position: Any, flags: int, *, is_last: bool) -> str:
        match position:
            case codes.AT_BEGINNING if flags & re.MULTILINE:
                return "(?m:^)"
            case codes.AT_BEGINNING | codes.AT_BEGINNING_STRING:
                return r"\A"
            case codes.AT_END if flags & re.MULTILINE:
                return "(?m:$)"
            case codes.AT_END if not self._is_linear:
                return r"(?=\n?\Z)"
            case codes.AT_END if is_last:
                return r"\n?\z"
            case codes.AT_END_STRING:
                return r"\z" if self._is_linear else r"\Z"
            case codes.AT_BOUNDARY | codes.AT_NON_BOUNDARY:
                return self._boundary(flags, negated=position is codes.AT_NON_BOUNDARY)
        raise UnsupportedSyntaxError

    def _boundary(self, flags: int, *, negated: bool) -> str:
        if self._is_linear:
            # Before Python 3.14 \B does not match an empty text, and \B of ASCII words could split a character.
            if negated:
                raise UnsupportedSyntaxError
            self.has_boundary = self.has_boundary or not flags & re.ASCII
            return r"(?-u:\b)" if flags & re.ASCII else r"\b"
        word = f"[{_category(codes.CATEGORY_WORD, flags)}]"
        if negated:
            return rf"(?:(?<={word})(?={word})|(?<!{word})(?!{word})(?!\A\Z))"
        return f"(?:(?<={word})(?!{word})|(?<!{word})(?={word}))"

    def _set(self, items: Sequence[Any], flags: int) -> str:
        is_negated = items[0][0] is codes.NEGATE
        alternatives = []
        members = ""
        for code, value in items[is_negated:]:
            if code is codes.CATEGORY and value in _NEGATED:
                alternatives.append(f"[^{_category(_NEGATED[value], flags)}]")
            elif code is codes.CATEGORY:
                members += _category(value, flags)
            elif code is codes.RANGE:
                low, high = value
                members += f"{_escaped(low)}-{_escaped(high)}"
                if flags & re.IGNORECASE:
                    members += "".join(
                        _member(letter, flags)
                        for letter in _CASED
                        if low <= letter <= high and _is_special(letter, flags)
                    )
            else:
                members += _member(value, flags)
        if not alternatives:
            return f"[{'^' * is_negated}{members}]"
        if self._is_linear:
            return f"[{'^' * is_negated}{members}{''.join(alternatives)}]"
        alternatives += [f"[{members}]"] * bool(members)
        return f"(?:(?!{'|'.join(alternatives)})(?s:.))" if is_negated else f"(?:{'|'.join(alternatives)})"

    def size(self, items: Sequence[Any]) -> int:
        """Count the single characters to match, with repetitions written out."""
        total = 0
        for code, value in items:
            if code in (codes.MAX_REPEAT, codes.MIN_REPEAT):
                low, high, item = value
                total += max(1, self.size(item)) * (low + 1 if high is codes.MAXREPEAT else max(1, high))
            elif code is codes.BRANCH:
                total += sum(map(self.size, value[1]))
            elif code is codes.SUBPATTERN:
                total += self.size(value[3])
            else:
                total += 1
        return total


def _folds(flags: int) -> bool:
    """Whether the engine itself ignores case. That of ASCII letters alone is written out."""
    return bool(flags & re.IGNORECASE) and not flags & re.ASCII


def _is_special(character: int, flags: int) -> bool:
    """Whether the other case of a character has to be written out."""
    if not flags & re.IGNORECASE:
        return False
    return chr(character) in string.ascii_letters if flags & re.ASCII else character in _LETTERS_I


def _literal(character: int, flags: int) -> str:
    return f"[{_member(character, flags)}]" if _is_special(character, flags) else _escaped(character)


def _member(character: int, flags: int) -> str:
    """A character inside brackets, with its other cases if the engine would not find them."""
    if not _is_special(character, flags):
        return _escaped(character)
    if flags & re.ASCII:
        return chr(character) + chr(character).swapcase()
    return "".join(map(_escaped, sorted(_LETTERS_I)))


def _category(category: Any, flags: int) -> str:
    return _CATEGORIES[category][bool(flags & re.ASCII)]


def _escaped(character: int) -> str:
    if chr(character).isascii() and chr(character).isalnum():
        return chr(character)
    return rf"\u{character:04x}" if character <= 0xFFFF else rf"\U{character:08x}"


def _times(low: int, high: Any) -> str:
    return f"{{{low},{'' if high is codes.MAXREPEAT else high}}}"
