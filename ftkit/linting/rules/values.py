"""C002–C007: values of one kind that are written in several ways.

None of these rules reports a value that occurs in the input exactly, because copying it is correct.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from typing_extensions import override

from ftkit.data.formats import text_content
from ftkit.linting.context import LintContext
from ftkit.linting.corpus import Corpus
from ftkit.linting.finding import RuleFinding
from ftkit.linting.row_view import RowView
from ftkit.linting.rule import RowRule, VariantRule
from ftkit.linting.text_normalization import excerpt, is_indented
from ftkit.linting.variant_counter import VariantCounter, rare_variants

_SHORT = 40
"""Characters up to which an answer in plain text counts as a single value."""


def _values(view: RowView) -> list[tuple[str, Any]]:
    """The values of the answer with their paths: all values of a JSON answer, else the answer itself if it is short."""
    if view.value is not None:
        return view.leaf_values
    answer = view.answer
    return [("$", answer)] if answer and len(answer) <= _SHORT else []


class _ValueRule(VariantRule):
    """Reports rare variants of a value."""

    density_part = "consistent"
    what = ""
    share = 0.2
    min_total = 10
    usual_share = 0.5
    """Share of the commonest variant from which it counts as usual."""

    @override
    def check_counts(self, counter: VariantCounter, corpus: Corpus) -> Iterator[RuleFinding]:
        for key, variants in counter:
            usual, rare = rare_variants(variants, share=self.share, min_total=self.min_total)
            total = sum(variants.values())
            if variants[usual] < self.usual_share * total:
                continue
            for variant in rare:
                for row in dict.fromkeys(counter.rows(key, variant)):
                    yield RuleFinding(
                        f"{self.what} written {variant}; {usual} in {variants[usual]:,} of {total:,}",
                        key.partition(" ")[0],
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
    """A number is written differently from most rows.

    The same field holds numbers in several notations: ``1200`` and ``1,200``, ``1.5`` and ``1,5``, a JSON number and
    a string. The model then chooses between them at random.

    Checks values that are only a number, path by path. A notation is rare below a fifth of at least ten values. Write
    all numbers of a field in one notation.
    """

    code = "C002"
    name = "number-format"
    what = "a number"

    @override
    def observe(self, view: RowView, context: LintContext) -> Iterator[tuple[str, str]]:
        for path, value in _values(view):
            if isinstance(value, bool):
                continue
            if isinstance(value, int | float):
                yield f"{path} type", "as a JSON number"
                continue
            if not isinstance(value, str) or not value[-1:].isdigit() or value in view.input:
                continue
            if _PLAIN.fullmatch(value):
                yield f"{path} type", "as a text"
                integer, point, _ = value.lstrip("+-").partition(".")
                if len(integer) > 3:
                    yield f"{path} thousands", "1234"
                if point:
                    yield f"{path} decimals", "1.5"
                continue
            for variant, pattern in _NUMBERS:
                if pattern.fullmatch(value):
                    yield (f"{path} decimals" if variant == "1,5" else f"{path} thousands"), variant
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
_MAYBE_DATE = re.compile(rf"\d[-/.]\d|{_MONTH}")


class DateFormat(_ValueRule):
    """A date is written differently from most rows.

    Dates are written in several formats: ``2026-11-24`` and ``24/11/2026``. Which format the model uses is random,
    and day and month are confused.

    Checks every date in the answer, path by path. A format is rare below a fifth of at least ten dates. Write all dates
    in one format, preferably ``2026-11-24``.
    """

    code = "C003"
    name = "date-format"
    what = "a date"

    @override
    def observe(self, view: RowView, context: LintContext) -> Iterator[tuple[str, str]]:
        for path, value in view.leaf_values if view.value is not None else [("$", view.answer)]:
            if not isinstance(value, str) or len(value) < 8 or not _MAYBE_DATE.search(value):
                continue
            for variant, pattern in _DATES:
                for match in pattern.finditer(value):
                    if match[0] not in view.input:
                        yield path, variant


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
    """A unit is written differently from most rows.

    A unit is written in several ways: ``5 mg``, ``5mg``, ``5 milligrams``.

    Checks numbers followed by one of about forty spellings of common units; singular and plural count as one, and a
    spelling that the row's input has is left out. A spelling is rare below a fifth of at least ten. Write each unit in
    one way.
    """

    code = "C004"
    name = "unit-format"
    what = "a unit"

    @override
    def observe(self, view: RowView, context: LintContext) -> Iterator[tuple[str, str]]:
        for path, value in view.leaf_values if view.value is not None else [("$", view.answer)]:
            if not isinstance(value, str):
                continue
            if not _QUANTITY.search(value):
                continue
            spellings = {_spelling(match) for match in _QUANTITY.finditer(value)}
            spellings -= {_spelling(match) for match in _QUANTITY.finditer(view.input)}
            for space, unit in sorted(spellings):
                yield f"{path} {_FAMILY[unit]}", f'"5{space}{unit}"'


def _spelling(quantity: re.Match[str]) -> tuple[str, str]:
    """The space before a unit, and the unit in the singular."""
    unit = quantity[2]
    return quantity[1], unit[:-1] if unit.endswith("s") and unit[:-1] in _FAMILY else unit


class Casing(_ValueRule):
    """A value is capitalised differently from most rows.

    The same value is capitalised differently: ``urgent`` and ``Urgent``. For a model these are different tokens and
    different answers.

    Checks values of up to 40 characters, path by path. A spelling is rare below a fifth of at least five. Choose one
    spelling. A schema with an ``enum`` enforces it in every row.
    """

    code = "C005"
    name = "casing"
    what = "a value"
    min_total = 5

    @override
    def observe(self, view: RowView, context: LintContext) -> Iterator[tuple[str, str]]:
        for path, value in _values(view):
            if isinstance(value, str) and value and len(value) <= _SHORT and value not in view.input:
                yield f"{path} {value.casefold()}", repr(value)


class Whitespace(RowRule):
    """There is whitespace around the answer, or around or inside a value.

    There is whitespace at the start or end of the answer or of a value in it, or two spaces in a row inside a value.
    Spaces are tokens like others, so the model sometimes writes them. If only one of two answers of a preference begins
    or ends with whitespace, DPO learns that difference.

    ``--fix`` removes whitespace at both ends of the answer; inside the answer it changes nothing. It leaves indented
    texts, such as code, and pairs as they are.
    """

    code = "C006"
    name = "whitespace"
    fixable = True
    density_part = "consistent"

    @override
    def check(self, view: RowView, context: LintContext) -> Iterator[RuleFinding]:
        written = view.written_answer
        is_text = view.task.output.kind == "text"
        if written is not None and written != written.strip() and view.row is not None:
            before = written[0].isspace()
            message = f"whitespace {'before' if before else 'after'} the answer"
            # Of a pair or an indented text, whitespace may be content.
            fixable = view.row.rejected is None and not (is_text and is_indented(written))
            yield RuleFinding(message, "$", excerpt(written, 0 if before else len(written)), fixable=fixable)
        yield from _lopsided_pair(view)
        for path, value in view.leaf_values:
            if not isinstance(value, str):
                continue
            if value != value.strip():
                yield RuleFinding("whitespace around the value", path, repr(value)[:80], fixable=False)
            elif "  " in value and value not in view.input:
                yield RuleFinding("two spaces in a row", path, repr(value)[:80], fixable=False)


def _lopsided_pair(view: RowView) -> Iterator[RuleFinding]:
    """Findings where only one of the two answers of a preference begins or ends with whitespace."""
    if view.row is None or view.row.rejected is None:
        return
    chosen, rejected = view.answer, text_content(view.row.rejected) or ""
    if not chosen.strip() or not rejected.strip():
        return
    for at, end in ((0, "begins"), (-1, "ends")):
        if chosen[at].isspace() != rejected[at].isspace():
            which = "chosen" if chosen[at].isspace() else "rejected"
            shown = chosen if which == "chosen" else rejected
            message = f"only the {which} answer {end} with whitespace, a difference that the model learns"
            yield RuleFinding(message, "$", excerpt(shown, 0 if at == 0 else len(shown)), fixable=False)


_NOTHING = {
    *("n/a", "na", "n.a.", "none", "null", "nil", "unknown", "not available", "not specified", "not stated"),
    *("not mentioned", "not given", "unspecified", "-", "--", "—", "?", "undefined", "nan", "tbd"),
}


class NullVariants(_ValueRule):
    """null, "", "N/A" and similar values are mixed at one path.

    A missing value is written in several ways at the same path: ``null``, ``""``, ``"N/A"``, ``"unknown"``. Programs
    that read the answers must handle all of them, and the model cannot know which one to use.

    Reports all ways except the most frequent one. Choose one, preferably ``null``.
    """

    code = "C007"
    name = "null-variants"
    what = "nothing is"
    share = 0.5
    min_total = 2
    usual_share = 0.0

    @override
    def observe(self, view: RowView, context: LintContext) -> Iterable[tuple[str, str]]:
        for path, value in view.leaf_values:
            if value is None:
                yield path, "null"
            elif value == "" or (
                isinstance(value, str) and value.strip().casefold() in _NOTHING and value not in view.input
            ):
                yield path, f'"{value}"'
