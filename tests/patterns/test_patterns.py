"""Patterns find what Python's ``re`` finds, on any text and in bounded time."""

from __future__ import annotations

import random
import re
import time
import warnings

import pytest

from ftkit.patterns import Pattern, PatternError, PatternTimeoutError, compile_pattern
from ftkit.patterns import pattern as pattern_module

ATOMS = [
    *("a", "b", "i", "I", "k", "ß", "é", "ı", "-", r"\.", r"\n", " ", ".", r"\w", r"\W", r"\d", r"\D", r"\s", r"\S"),
    *("[a-c]", "[^a-c]", r"[\W\d]", r"[^\W\d_]", r"[\]\[&^-]", "[&&~~--]", r"\b", r"\B", "^", "$", r"\A", r"\Z"),
    *("(?=a)", "(?!b)", "(?<=a)", "(?<!b)", r"\x41", r"\u00e9", "[A-Zé]", r"\\", "/", "#", "{", "}", "a{e}"),
]
TIMES = ["", "", "", "*", "+", "?", "{2}", "{,2}", "{1,}", "*?", "+?", "??", "*+", "{1,3}"]
LETTERS = "aabbcCiIkKs1 9_-.\n\n\t ßéÉıİKſ²́‿\x1c[]&^~{}#/\\A€\U0001f600"


def some_pattern(draw: random.Random, depth: int) -> str:
    kind = draw.random()
    if depth == 0 or kind < 0.5:
        return draw.choice(ATOMS) + draw.choice(TIMES)
    if kind < 0.7:
        return some_pattern(draw, depth - 1) + some_pattern(draw, depth - 1)
    if kind < 0.85:
        opening = draw.choice(["", "?:", "?i:", "?-i:", "?s:", "?m:", "?>", "?a:"])
        return f"({opening}{some_pattern(draw, depth - 1)})" + draw.choice(TIMES)
    if kind < 0.93:
        return some_pattern(draw, depth - 1) + "|" + some_pattern(draw, depth - 1)
    return f"({some_pattern(draw, depth - 1)}){some_pattern(draw, depth - 1)}\\1"


@pytest.mark.parametrize("seed", range(4))
def test_a_pattern_finds_what_re_finds(seed: int) -> None:
    draw = random.Random(seed)
    compared = linear = 0
    while compared < 250:
        pattern = some_pattern(draw, 3)
        flags = sum(flag for flag in (re.I, re.M, re.S, re.A) if draw.random() < 0.15)
        try:
            with warnings.catch_warnings(action="ignore"):
                expected = re.compile(pattern, flags)
        except (re.error, RecursionError):
            continue
        compared += 1
        compiled = Pattern(pattern, flags)
        linear += compiled.is_linear
        for _ in range(10):
            text = "".join(draw.choices(LETTERS, k=draw.randint(0, 9)))
            found = expected.search(text) is not None
            assert compiled.search(text) == found, (pattern, flags, text, compiled.is_linear)
    assert linear > 100


@pytest.mark.parametrize("category", [r"\d", r"\w", r"\s", r"\D", r"\W", r"\S"])
@pytest.mark.parametrize("flags", [0, re.ASCII])
def test_classes_contain_the_same_characters(category: str, flags: int) -> None:
    expected, linear = re.compile(category, flags), Pattern(category, flags)
    back = Pattern(f"(?={category})", flags)
    assert linear.is_linear
    assert not back.is_linear
    for number in [*range(0x3000), *range(0x3000, 0x20000, 37)]:
        character = chr(number)
        if not 0xD800 <= number < 0xE000 and character.isprintable() | character.isspace() | (number < 0x100):
            found = expected.search(character) is not None
            assert linear.search(character) == found, hex(number)
            assert back.search(character) == found, hex(number)


def test_a_lone_surrogate_is_a_character() -> None:
    assert compile_pattern("^a.b$").search("a\ud800b")
    assert not compile_pattern("^ab$").search("a\ud800b")


@pytest.mark.parametrize(
    "pattern",
    [
        *("^(a+)+$", "^(a|a)*$", "^(a|aa)+$", r"^(\w+\s?)*$", "(.*a){20}x", "^(([a-z])+.)+[A-Z]([a-z])+$", "(a*)*b"),
        *(r"\b(a+)+\b!\Z", "(?i)^(a+)+$", "(x+x+)+y", r"^\s+|\s+x$", "[ab]*a[ab]{400}x"),
    ],
)
def test_ordinary_patterns_take_linear_time(pattern: str) -> None:
    compiled = compile_pattern(pattern)
    assert compiled.is_linear
    for unit in ("a", "ab", "é", "x", " ", "a "):
        start = time.process_time()
        compiled.search(unit * 20_000 + "!")
        assert time.process_time() - start < 2


def test_a_search_that_goes_back_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pattern_module, "TIME_LIMIT_S", 0.1)
    pattern = Pattern("(x+x+)+y(?!z)", 0)
    start = time.process_time()
    for _ in range(20):  # after three, the pattern is no longer tried
        with pytest.raises(PatternTimeoutError, match=r"takes more than 0.1 s .*look-around"):
            pattern.search("x" * 5_000)
    assert time.process_time() - start < 3


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(", "not a regular expression"),
        ("(" * 5_000 + ")" * 5_000, "nested too deep"),
        ("a" * 200_000, "200,000 characters"),
        ("a{5,2}", "not a regular expression"),
        ("a{99999999999}", "not a regular expression"),
    ],
)
def test_what_is_no_pattern_is_refused(pattern: str, message: str) -> None:
    with pytest.raises(PatternError, match=message):
        compile_pattern(pattern)
