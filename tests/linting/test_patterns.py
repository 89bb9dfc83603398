"""Regular expressions take linear time on any text, so that no row can stop a run."""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

import ftkit as ft
from ftkit.evaluation.probes.checks import read_answer

SEARCHED = ("ftkit.linting", "ftkit.evaluation.probes", "ftkit.evaluation.metrics", "ftkit.schema", "ftkit.graders")
"""Packages whose patterns search texts of rows or of models."""
PATTERNS_OF_USERS = {("ftkit.graders.template", "_FIELD"), ("ftkit.graders.template", "_STEP")}
"""Patterns that parse what the user writes for a grader, not data."""
MATCHED_AT_THE_START = {"_SPACE_AFTER_COLON", "_CODE", "_NUMBERS", "_PLAIN", "_PLAIN_KEY", "_VERSION"}
"""Patterns that are only matched at the start of a text, never searched in it."""
UNITS = [
    *("a", "A", "1", " ", "\n", "\t", ".", ",", "-", "_", '"', "\\"),
    *("[", "{", "(", "`", "~", "#", "*", "é", "@", "1-", "a.", "a@"),
    *("@a.", "1.", "1,", "1,111", "1.111.", "1 111", "+1 ", "+1-1", "(1)", "1(", "4 4", "AB12"),
    *("AB12 ", "a1-", "M10.5,20.3 L", "://a", "://a:", "key = ", "key'", "eyJ", "eyJ.", "npm_", "AKC", "a b "),
    *("A b. ", "Jan ", "1 Jan", "ignore all ", "ignore  ", "i can't a ", "```", "```json", "~~~ ", '["', "[1,"),
    *("$.a", '["a"]', "\\u00", "\r\n", "a\n", " \n", "1st ", "- ", "**a", "x = 1 ", "...", "a!"),
    *("…", "'", '{"a":'),
]  # fmt: skip
SIZE = 10_000
LIMIT_S = 0.2


def texts(size: int) -> Iterator[tuple[str, str]]:
    for unit in UNITS:
        for first, last in (("", ""), ("x", "\x00")):
            yield repr(unit), first + unit * (size // len(unit)) + last


def compiled(value: Any) -> Iterator[re.Pattern[Any]]:
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from compiled(item)


def patterns() -> list[Any]:
    found = []
    for package in SEARCHED:
        path = importlib.import_module(package).__path__
        names = [each.name for each in pkgutil.walk_packages(path, f"{package}.")]
        for name in (package, *(name for name in names if ".sandbox" not in name)):  # its programs run alone
            for attribute, value in vars(importlib.import_module(name)).items():
                if (name, attribute) not in PATTERNS_OF_USERS:
                    is_searched = attribute not in MATCHED_AT_THE_START
                    for number, pattern in enumerate(compiled(value)):
                        found.append(pytest.param(pattern, is_searched, id=f"{name}.{attribute}-{number}"))
    return found


@pytest.mark.parametrize(("pattern", "is_searched"), patterns())
def test_a_pattern_takes_linear_time(pattern: re.Pattern[Any], is_searched: bool) -> None:
    for size in (400, SIZE):  # at the smaller size, cubic time fails instead of never ending
        for unit, text in texts(size):
            searched: Any = text if isinstance(pattern.pattern, str) else text.encode()
            start = time.process_time()
            for _ in pattern.finditer(searched) if is_searched else ():
                pass
            pattern.match(searched)
            pattern.fullmatch(searched)
            taken = time.process_time() - start
            assert taken < LIMIT_S, f"{taken:.2f} s for {len(text):,} characters of {unit}"


@pytest.mark.parametrize("codes", ["S", "C", "K", "J", "D"])
@pytest.mark.parametrize(
    "unit", ["1-", "a", " ", "eyJ", "://a:", "key = ", "key  ", "[1,", '{"a":', "M10.5,20.3 L", "a@a."]
)
def test_a_rule_takes_linear_time(chats: Any, codes: str, unit: str) -> None:
    text = f"x {unit * (50_000 // len(unit))} x"
    padded = f"api key{' ' * 25_000}"
    data = chats((text, text), (padded, padded), ("q", f"```\n{text}"), ("q", f"Here: {text}"))
    start = time.process_time()
    ft.lint(data, select=[codes], workers=1)
    assert time.process_time() - start < 10


@pytest.mark.parametrize(
    "check", ["sentences: 1..2", "json: a", "refuses", "helps", "number: 4", "words: 1..4", "any: a"]
)
def test_a_check_of_a_probe_takes_linear_time(check: str) -> None:
    for unit in ("a", " ", "\n", "```", "``` ", "1,111", "a.a", "i can't a ", "..."):
        start = time.process_time()
        read_answer(check, f"```x{unit * (100_000 // len(unit))}x")
        assert time.process_time() - start < 1, unit


def test_sentences_are_counted_as_before() -> None:
    for text, count in [
        ("One. Two!", 2),
        ("Pi is 3.14 today. Yes", 1),
        ("... well.", 1),
        ('He said "no." Then left.', 2),
        ("No end", 0),
        ("(So it is.) And more…", 2),
    ]:
        assert read_answer(f"sentences: {count}..{count}", text) == "right", text


def test_a_secret_deep_in_a_long_text_is_found(chats: Any) -> None:
    secret = "AKIA" + "ABCDEFGH12345678"
    for before in (990, 1_990, 2_500, 77_777):
        report = ft.lint(chats(("q", f"{'word ' * (before // 5)}{secret} {'more ' * 500}")), select=["S001"])
        assert [found.message for found in report["S001"]] == ["looks like a secret: AWS Access Key"], before
        assert secret not in json.dumps(report.model_dump())


def test_a_row_beyond_the_limit_says_what_was_searched(chats: Any) -> None:
    report = ft.lint(chats(("q", "no secret here " * 40_000 + "anna@firm.org")), select=["S002"])
    assert [(found.message, found.severity) for found in report["S002"]] == [
        ("only the first 500,000 characters of the row were searched", "info")
    ]
