"""C002–C007: one kind of value written in several ways.

A value that stands in the input letter by letter is left out of all of these: copying is what was asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from ftkit.linting.context import Setting
from ftkit.linting.corpus import Whole
from ftkit.linting.counter import Tally, rare
from ftkit.linting.finding import Found
from ftkit.linting.row_view import Seen
from ftkit.linting.rule import RowRule, TallyRule
from ftkit.linting.text_normalization import excerpt

__all__ = ["Casing", "DateFormat", "NullVariants", "NumberFormat", "UnitFormat", "Whitespace"]

_SHORT = 40
"""Characters up to which an answer in plain text counts as a single value."""


def values_of(seen: Seen) -> list[tuple[str, Any]]:
    """The values of the answer with their paths: of a JSON answer all of them, else the answer itself when short."""
    if seen.value is not None:
        return seen.leaves
    answer = seen.answer
    return [("$", answer)] if answer and len(answer) <= _SHORT else []


class _ValueRule(TallyRule):
    """Rare ways to write what others write otherwise."""

    hurts = "consistent"
    what = ""
    share = 0.2
    least = 10

    def judge(self, tally: Tally, whole: Whole) -> Iterator[Found]:
        for subject, ways in tally:
            usual, few = rare(ways, share=self.share, least=self.least)
            total = sum(ways.values())
            for way in few:
                for row in tally.rows(subject, way):
                    yield Found(
                        f"{self.what} written {way}; {usual} in {ways[usual]:,} of {total:,}",
                        subject.partition(" ")[0],
                        row=row,
                    )


_PLAIN = re.compile(r"[+-]?\d+(?:\.\d+)?")
_NUMBERS = (
    ("1,234", re.compile(r"[+-]?\d{1,3}(?:,\d{3})+(?:\.\d+)?")),
    ("1.234,5", re.compile(r"[+-]?\d{1,3}(?:\.\d{3})+,\d+|[+-]?\d{1,3}(?:\.\d{3}){2,}")),
    ("1 234", re.compile(r"[+-]?\d{1,3}(?:[  \u202f]\d{3})+(?:[.,]\d+)?")),
    ("1,5", re.compile(r"[+-]?\d+,\d{1,2}")),
)


class NumberFormat(_ValueRule):
    """The same field holds numbers in several ways: ``1200`` and ``1,200``, ``1.5`` and ``1,5``, a JSON number and a
    text. The model then draws lots between them.

    Looked at: values that are nothing but a number, path by path; a way is rare below a fifth of at least ten values.
    Write all numbers of a field in one way.
    """

    code = "C002"
    name = "number-format"
    summary = "A number is written otherwise than in most rows."
    what = "a number"

    def observe(self, seen: Seen, setting: Setting) -> Iterator[tuple[str, str]]:
        for path, value in values_of(seen):
            if isinstance(value, bool):
                continue
            if isinstance(value, int | float):
                yield f"{path} type", "as a JSON number"
                continue
            if not isinstance(value, str) or not value[-1:].isdigit() or value in seen.input:
                continue
            if _PLAIN.fullmatch(value):
                yield f"{path} type", "as a text"
                whole, point, _ = value.lstrip("+-").partition(".")
                if len(whole) > 3:
                    yield f"{path} thousands", "1234"
                if point:
                    yield f"{path} decimals", "1.5"
                continue
            for way, pattern in _NUMBERS:
                if pattern.fullmatch(value):
                    yield (f"{path} decimals" if way == "1,5" else f"{path} thousands"), way
                    break


_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*\.?"
_DATES = (
    ("2026-11-24", re.compile(r"\b\d{4}-\d{2}-\d{2}\b")),
    ("2026/11/24", re.compile(r"\b\d{4}/\d{1,2}/\d{1,2}\b")),
    ("24/11/2026", re.compile(r"\b\d{1,2}/\d{1,2}/\d{2,4}\b")),
    ("24.11.2026", re.compile(r"\b\d{1,2}\.\d{1,2}\.\d{4}\b")),
    ("24-11-2026", re.compile(r"\b\d{1,2}-\d{1,2}-\d{4}\b")),
    ("24 Nov 2026", re.compile(rf"\b\d{{1,2}}(?:st|nd|rd|th)? {_MONTH},? \d{{4}}\b")),
    ("Nov 24, 2026", re.compile(rf"\b{_MONTH} \d{{1,2}}(?:st|nd|rd|th)?,? \d{{4}}\b")),
)
_MAYBE_DATE = re.compile(r"\d[-/. ]\d|\d (?:st|nd|rd|th|[A-Z])|[a-z.] \d{1,2}")


class DateFormat(_ValueRule):
    """Dates are written in several ways: ``2026-11-24`` and ``24/11/2026``. Which one the model will use is chance, and
    day and month get confused.

    Looked at: every date in the answer, path by path; a way is rare below a fifth of at least ten dates. Write all
    dates in one way, best as ``2026-11-24``.
    """

    code = "C003"
    name = "date-format"
    summary = "A date is written otherwise than in most rows."
    what = "a date"

    def observe(self, seen: Seen, setting: Setting) -> Iterator[tuple[str, str]]:
        for path, value in seen.leaves if seen.value is not None else [("$", seen.answer)]:
            if not isinstance(value, str) or len(value) < 8 or not _MAYBE_DATE.search(value):
                continue
            for way, pattern in _DATES:
                for match in pattern.finditer(value):
                    if match[0] not in seen.input:
                        yield path, way


_UNITS = {
    "mg": ("mg", "milligram", "milligrams"),
    "g": ("g", "gram", "grams"),
    "kg": ("kg", "kilogram", "kilograms", "kilos"),
    "ml": ("ml", "mL", "millilitre", "millilitres", "milliliter", "milliliters"),
    "cm": ("cm", "centimetre", "centimetres", "centimeter", "centimeters"),
    "mm": ("mm", "millimetre", "millimetres", "millimeter", "millimeters"),
    "km": ("km", "kilometre", "kilometres", "kilometer", "kilometers"),
    "%": ("%", "percent", "per cent"),
    "USD": ("USD", "dollars", "US dollars"),
    "EUR": ("EUR", "€", "euros", "euro"),
    "h": ("h", "hr", "hrs", "hour", "hours"),
    "min": ("min", "mins", "minute", "minutes"),
    "GB": ("GB", "gigabytes"),
    "MB": ("MB", "megabytes"),
}
_FAMILY = {spelling: unit for unit, spellings in _UNITS.items() for spelling in spellings}
_QUANTITY = re.compile(
    r"\d( ?)(" + "|".join(sorted(map(re.escape, _FAMILY), key=len, reverse=True)) + r")(?![\w%])", re.ASCII
)


class UnitFormat(_ValueRule):
    """A unit is written in several ways: ``5 mg``, ``5mg``, ``5 milligrams``.

    Looked at: numbers followed by one of about forty spellings of common units; singular and plural count as one. A way
    is rare below a fifth of at least ten. Write each unit in one way.
    """

    code = "C004"
    name = "unit-format"
    summary = "A unit is written otherwise than in most rows."
    what = "a unit"

    def observe(self, seen: Seen, setting: Setting) -> Iterator[tuple[str, str]]:
        for path, value in seen.leaves if seen.value is not None else [("$", seen.answer)]:
            if not isinstance(value, str):
                continue
            for match in _QUANTITY.finditer(value):
                spelt = match[2]
                if match[0] in seen.input:
                    continue
                plural = spelt[:-1] if spelt.endswith("s") and spelt[:-1] in _FAMILY else spelt
                yield f"{path} {_FAMILY[spelt]}", f'"5{match[1]}{plural}"'


class Casing(_ValueRule):
    """The same value is written with capitals here and without there: ``urgent`` and ``Urgent``. For a model these are
    different tokens and different answers.

    Looked at: values of up to 40 characters, path by path; a spelling is rare below a fifth of at least five. Choose
    one; a schema with an ``enum`` holds every row to it.
    """

    code = "C005"
    name = "casing"
    summary = "A value is written with other capitals than in most rows."
    what = "a value"
    least = 5

    def observe(self, seen: Seen, setting: Setting) -> Iterator[tuple[str, str]]:
        for path, value in values_of(seen):
            if isinstance(value, str) and value and len(value) <= _SHORT and value not in seen.input:
                yield f"{path} {value.casefold()}", repr(value)


class Whitespace(RowRule):
    """Blanks at the beginning or end of the answer, or at the edges of a value in it, or two in a row inside a value.
    They are tokens like others: the model learns to write them, now and then.

    ``--fix`` takes blanks away at both ends of the answer; inside it changes nothing.
    """

    code = "C006"
    name = "whitespace"
    summary = "Blanks around the answer, or around or inside a value."
    fixable = True
    hurts = "consistent"

    def check(self, seen: Seen, setting: Setting) -> Iterator[Found]:
        written = seen.written
        if written is not None and written != written.strip() and seen.row is not None:
            where = "before" if written[0].isspace() else "after"
            yield Found(f"blanks {where} the answer", "$", excerpt(written, 0 if where == "before" else len(written)))
        for path, value in seen.leaves:
            if not isinstance(value, str):
                continue
            if value != value.strip():
                yield Found("blanks around the value", path, repr(value)[:80], fixable=False)
            elif "  " in value and value not in seen.input:
                yield Found("two blanks in a row", path, repr(value)[:80], fixable=False)


_NOTHING = {
    *("n/a", "na", "n.a.", "none", "null", "nil", "unknown", "not available", "not specified", "not stated"),
    *("not mentioned", "not given", "unspecified", "-", "--", "—", "?", "undefined", "nan", "tbd"),
}


class NullVariants(_ValueRule):
    """That there is nothing is written in several ways at one place: ``null``, ``""``, ``"N/A"``, ``"unknown"``. Code
    that reads the answers has to know them all, and the model cannot know which is wanted.

    All ways but the commonest are reported. Choose one, best ``null``.
    """

    code = "C007"
    name = "null-variants"
    summary = 'null, "", "N/A" and the like stand for the same thing at one place.'
    what = "nothing is"
    share = 0.5
    least = 2

    def observe(self, seen: Seen, setting: Setting) -> Iterable[tuple[str, str]]:
        for path, value in seen.leaves:
            if value is None:
                yield path, "null"
            elif value == "" or (
                isinstance(value, str) and value.strip().casefold() in _NOTHING and value not in seen.input
            ):
                yield path, f'"{value}"'
