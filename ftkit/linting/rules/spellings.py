"""C013: one value that is written in several ways."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from typing_extensions import override

from ftkit.errors import OutputError
from ftkit.linting.context import LintContext
from ftkit.linting.corpus import Corpus
from ftkit.linting.finding import RuleFinding
from ftkit.linting.row_view import RowView
from ftkit.linting.rule import VariantRule
from ftkit.linting.text_normalization import excerpt
from ftkit.linting.variant_counter import VariantCounter
from ftkit.schema import JsonOutput
from ftkit.schema.json_path import json_path
from ftkit.schema.json_text import read_json

_SHORT = 60
"""Characters up to which a value is compared; longer ones are free text."""
_FORM = "\tform"
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)([T ])(\d\d:\d\d(?::\d\d)?)(\.\d{1,9})?(Z|[+-]\d\d:?\d\d)?")
_NUMBER = re.compile(r"[+-]?\d{1,40}(?:\.\d{1,40})?")


class ValueSpelling(VariantRule):
    """One value of a field is written in several ways.

    ``12.5`` and ``"12.50"`` are one decimal, ``2026-01-05T10:00:00Z`` and ``2026-01-05 10:00:00+00:00`` one moment, and
    a set has no order. A model that learns several spellings chooses between them at random. If the answers are in a
    column, ftkit trains on one spelling, and only other programs see several. The answers of conversations are learned
    as they are written.

    Compares the values of each field as the task's schema and its Python class read them. Reports every spelling but
    the commonest. Write each field in one way, best as ``task.target(…)`` does.
    """

    code = "C013"
    name = "value-spelling"
    density_part = "consistent"

    @override
    def skip_reason(self, context: LintContext) -> str | None:
        return None if isinstance(context.task.output, JsonOutput) else ""

    @override
    def observe(self, view: RowView, context: LintContext) -> Iterator[tuple[str, str]]:
        output = view.task.output
        if view.row is None or view.value is None or not isinstance(output, JsonOutput) or view.answer_text is None:
            return
        try:
            written = read_json(view.answer_text)
        except OutputError:
            return
        # The target of a column is in its one form already; that of a conversation is as it is written.
        read = view.value if view.value != written else output.ordered(view.value)
        yield from _spellings(written, read, ())

    @override
    def check_counts(self, counter: VariantCounter, corpus: Corpus) -> Iterator[RuleFinding]:
        for key, variants in counter:
            if len(variants) == 1:
                continue
            path, _, value = key.partition("\t")
            usual, *others = variants
            total = sum(variants.values())
            what = "values are" if value.startswith(_FORM[1:]) else f"{excerpt(value)} is"
            for variant in others:
                message = f"{what} written {variant}; {usual} in {variants[usual]:,} of {total:,}"
                for row in dict.fromkeys(counter.rows(key, variant)):
                    yield RuleFinding(message, path, row=row)


def _spellings(written: Any, read: Any, steps: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Each value of an answer, and how it is written."""
    if isinstance(written, dict) and isinstance(read, dict):
        unknown = [name for name in written if name not in read]
        if unknown:
            yield f"{_path(steps)}{_FORM} of keys", "with the keys " + ", ".join(map(_json, unknown))
        else:
            yield f"{_path(steps)}{_FORM} of keys", "with the schema's keys"
        for name, item in written.items():
            if name in read:
                yield from _spellings(item, read[name], (*steps, name))
    elif isinstance(written, list) and isinstance(read, list):
        if len(written) > 1 and _are_scalars(written) and _are_scalars(read):
            key, shown = _json(read), _json(written)
            if sorted(map(_json, written)) == sorted(map(_json, read)):
                if len(shown) <= 4 * _SHORT:
                    yield f"{_path(steps)}\t{key}", shown
                if written != read:  # a set
                    return
        if len(written) == len(read):
            for item, other in zip(written, read, strict=True):
                yield from _spellings(item, other, (*steps, "*"))
    elif isinstance(written, str | int | float) and not isinstance(written, bool):
        yield from _spelling(written, read, _path(steps))


def _spelling(written: str | float, read: Any, path: str) -> Iterator[tuple[str, str]]:
    shown = _json(written)
    if len(shown) > _SHORT:
        return
    moment = _MOMENT.fullmatch(written.strip()) if isinstance(written, str) else None
    if moment is not None:
        yield f"{path}{_FORM}", _moment_form(moment)
        yield f"{path}\t{_moment(moment)}", shown
        return
    if isinstance(read, str) and _NUMBER.fullmatch(read):
        yield f"{path}{_FORM}", "as text" if isinstance(written, str) else "as a JSON number"
    yield f"{path}\t{_json(float(read) if isinstance(read, int | float) else read)}", shown


def _moment(found: re.Match[str]) -> str:
    """The moment in its zone, whatever its spelling."""
    try:
        return datetime.fromisoformat(found[0]).isoformat()
    except ValueError:
        return found[0]


def _moment_form(found: re.Match[str]) -> str:
    """How a moment is written, without what its value decides: the digits, and a zone other than UTC."""
    _, between, time, fraction, zone = found.groups()
    clock = "hh:mm:ss" if time.count(":") == 2 else "hh:mm"
    zeros = "." + "0" * (len(fraction) - 1) if fraction and not fraction.strip(".0") else ""
    return f"YYYY-MM-DD{between}{clock}{zeros}{zone if zone in (None, '+00:00', '+0000') else 'Z'}".replace("None", "")


def _are_scalars(items: list[Any]) -> bool:
    return not any(isinstance(item, dict | list) for item in items)


def _path(steps: tuple[str, ...]) -> str:
    return json_path(steps).replace('["*"]', "[*]")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
