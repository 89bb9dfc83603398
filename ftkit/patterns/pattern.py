"""A regular expression of a user, which finds what Python's ``re`` finds, in bounded time.

``re`` tries alternatives one after the other, so that ``(a+)+$`` takes longer than the age of the universe on forty
letters. Most patterns are searched by the engine that pydantic contains (Rust's regex crate), whose time is
proportional to the text. It has no look-around and no back-references; patterns with these are searched by the package
``regex``, which stops after :data:`TIME_LIMIT_S`.
"""

from __future__ import annotations

import functools
import re
from re import _parser  # type: ignore[attr-defined]
from typing import Any

from pydantic_core import SchemaError, SchemaValidator, core_schema

from ftkit.errors import ConfigError, FtkitError
from ftkit.patterns.syntax import UnsupportedSyntaxError, write_pattern

__all__ = ["TIME_LIMIT_S", "Pattern", "PatternError", "PatternTimeoutError", "compile_pattern"]

TIME_LIMIT_S = 1.0
"""Seconds that a search may take in a pattern with look-around or a back-reference."""
_MAX_TIMEOUTS = 3
"""Searches over the limit, after which a pattern is no longer tried: a million rows would take days."""
_MAX_LENGTH = 100_000
"""Characters of a pattern."""
_OTHER_WORDS = r"[\w--[\p{L}\p{N}_]]|[[\p{L}\p{N}_]--\w]"
"""Characters of which Rust and Python disagree whether they are part of a word, such as combining marks."""


class PatternError(ConfigError):
    """A text is not a regular expression, or is too large."""


class PatternTimeoutError(FtkitError):
    """A search took longer than the limit."""


def compile_pattern(pattern: str, flags: int = 0) -> Pattern:
    """Compile a regular expression. The last 512 are kept.

    Args:
        pattern: the pattern, in the syntax of Python's ``re``.
        flags: flags of ``re``, such as ``re.IGNORECASE``.

    Returns:
        The compiled pattern.

    Raises:
        PatternError: it is not a pattern, or it is too large.
    """
    return _compile(pattern, int(flags))


class Pattern:
    """A compiled pattern; see :func:`compile_pattern`.

    Attributes:
        pattern: the pattern as written.
    """

    def __init__(self, pattern: str, flags: int) -> None:
        self.pattern = pattern
        if len(pattern) > _MAX_LENGTH:
            raise PatternError(
                f"the pattern {_shortened(pattern)} has {len(pattern):,} characters, more than {_MAX_LENGTH:,}"
            )
        try:
            self._parsed = _parser.parse(pattern, flags)
        except (re.error, ValueError, OverflowError) as error:
            raise PatternError(f"{_shortened(pattern)} is not a regular expression: {error}") from None
        except RecursionError:
            raise PatternError(f"the groups of the pattern {_shortened(pattern)} are nested too deep") from None
        self._flags = int(self._parsed.state.flags)
        self._timeouts = 0
        self._linear: SchemaValidator | None = None
        self._has_boundary = False
        try:
            written, self._has_boundary = write_pattern(self._parsed, self._flags, "linear")
            self._linear = _linear_engine(written)
        except (UnsupportedSyntaxError, SchemaError):
            self._backtracking  # noqa: B018  an error is raised now, not at the first search

    @property
    def is_linear(self) -> bool:
        """Whether a search takes time proportional to the text, whatever the text is."""
        return self._linear is not None

    def search(self, text: str) -> bool:
        """Say whether the pattern matches anywhere in a text.

        Args:
            text: the text.

        Returns:
            Whether it does, as ``re.search`` would say.

        Raises:
            PatternTimeoutError: the search took too long, which only patterns can that are not :attr:`is_linear`, or
                that have a word boundary and a text with rare characters.
        """
        if self._linear is not None and not (self._has_boundary and _has_other_words(text)):
            return self._linear.isinstance_python(text) or (not text.isascii() and self._search_surrogates(text))
        return self._search_backtracking(text)

    def _search_surrogates(self, text: str) -> bool:
        """Search a text with a lone half of a surrogate pair, which the linear engine refuses."""
        try:
            text.encode()
        except UnicodeEncodeError:
            return self._search_backtracking(text)
        return False

    def _search_backtracking(self, text: str) -> bool:
        if self._timeouts >= _MAX_TIMEOUTS:
            raise self._timeout_error()
        try:
            return self._backtracking.search(text, timeout=TIME_LIMIT_S) is not None
        except TimeoutError:
            self._timeouts += 1
            raise self._timeout_error() from None

    def _timeout_error(self) -> PatternTimeoutError:
        return PatternTimeoutError(
            f"the pattern {_shortened(self.pattern)} takes more than {TIME_LIMIT_S:g} s on a text; write it without "
            "look-around and back-references, or without a repetition inside a repetition"
        )

    @functools.cached_property
    def _backtracking(self) -> Any:
        """The pattern in the package regex, for what the linear engine cannot search."""
        import regex

        try:
            written, _ = write_pattern(self._parsed, self._flags, "backtracking")
            return regex.compile(written, regex.VERSION0)
        except (UnsupportedSyntaxError, regex.error, RecursionError) as error:
            raise PatternError(
                f"the pattern {_shortened(self.pattern)} has a syntax that cannot be searched in bounded time: {error}"
            ) from None


_compile = functools.lru_cache(maxsize=512)(Pattern)


def _linear_engine(written: str) -> SchemaValidator:
    return SchemaValidator(core_schema.str_schema(pattern=written, regex_engine="rust-regex", strict=True))


@functools.cache
def _other_words() -> SchemaValidator:
    return _linear_engine(_OTHER_WORDS)


def _has_other_words(text: str) -> bool:
    return not text.isascii() and _other_words().isinstance_python(text)


def _shortened(pattern: str) -> str:
    return repr(pattern) if len(pattern) <= 80 else repr(pattern[:80]) + "…"
