"""Mended files: what changes in them, and writing them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ftkit.data import Dataset
from ftkit.files import atomic_writer
from ftkit.linting.fixing.answer_location import with_answer
from ftkit.linting.fixing.text_fixes import MENDS, mended, mended_value
from ftkit.linting.scan import ignored_codes

__all__ = ["Change", "Fixed", "fix"]

_KINDS = (".jsonl", ".ndjson")
_LOOSE = re.compile(r'\s*\{\s*"(?:[^"\\]|\\.)*"\s*:\s')
"""A row with a blank after its first colon."""


@dataclass(frozen=True, slots=True)
class Change:
    """A line before and after, without its end."""

    line: int
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Fixed:
    """What became of a file.

    Attributes:
        source: the file, as it was named.
        target: the mended file; None when nothing is to be mended, or the kind of file cannot be.
        changes: number of rows that were mended.
        note: why the file was left alone, else empty.
    """

    source: str
    target: Path | None
    changes: int
    note: str = ""


def fix(
    data: Dataset,
    *,
    codes: Collection[str] = MENDS,
    ignore_rows: Mapping[str, Sequence[str]] | None = None,
    write: bool = True,
    on_change: Callable[[str, Change], None] | None = None,
) -> list[Fixed]:
    """Write each file with its answers mended beside it: ``train.jsonl`` becomes ``train.fixed.jsonl``.

    Rows that need nothing are copied byte for byte. The new file appears whole or not at all; the old one is never
    touched. JSON Lines only.

    Args:
        data: the rows; a view (a split, a filter) mends those rows of the files and copies the others.
        codes: rules whose findings are mended; of those in :data:`MENDS`.
        ignore_rows: by row id, codes that are not mended in that row.
        write: False only tells what would change.
        on_change: called with the file's name and each changed line.
    """
    done = []
    changes = _changes(data, MENDS.intersection(codes), ignore_rows or {})
    for path, name in zip(data.sources, data.source_names, strict=True):
        here = changes.get(name, {})
        if path.suffix.lower() not in _KINDS:
            done.append(Fixed(name, None, 0, "only JSON Lines (.jsonl) can be mended" if here else ""))
            continue
        target = Path(name).with_suffix(f".fixed{path.suffix}")
        count = 0
        for change in _lines(path, here, target if write and here else None):
            count += 1
            if on_change is not None:
                on_change(name, change)
        done.append(Fixed(name, target if count else None, count))
    return done


def _changes(
    data: Dataset, codes: Collection[str], ignore_rows: Mapping[str, Sequence[str]]
) -> dict[str, dict[int, dict[str, Any]]]:
    """By file and line, the rows that change, as they shall be."""
    found: dict[str, dict[int, dict[str, Any]]] = {}
    for place, columns, row in data.attempts():
        by_id = ignore_rows.get(getattr(row, "id", ""), ())
        ignored = [*ignored_codes(columns), *map(str.upper, by_id)]
        wanted = [code for code in codes if not any(one == "ALL" or code.startswith(one) for one in ignored)]
        # A column that ftkit itself writes in the schema's order needs no other.
        if data.options.target is not None or data.options.chosen is not None:
            wanted = [code for code in wanted if code != "C001"]

        def change(value: Any, wanted: Collection[str] = wanted) -> Any:
            mend = mended if isinstance(value, str) else mended_value
            return mend(value, data.task, wanted)

        made = with_answer(columns, data.format, data.options, change) if wanted else None
        if made is not None:
            found.setdefault(place.source, {})[place.line] = made
    return found


def _lines(path: Path, here: Mapping[int, dict[str, Any]], target: Path | None) -> Iterator[Change]:
    if target is None:
        yield from (change for _, change in _pairs(path, here) if change is not None)
        return
    with atomic_writer(target) as file:
        for raw, change in _pairs(path, here):
            if change is None:
                file.write(raw)
            else:
                file.write(change.after.encode() + raw[len(raw.rstrip(b"\r\n")) :])
                yield change


def _pairs(path: Path, here: Mapping[int, dict[str, Any]]) -> Iterator[tuple[bytes, Change | None]]:
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            if number not in here:
                yield raw, None
                continue
            before = raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
            yield raw, Change(number, before, _written(here[number], before))


def _written(columns: Mapping[str, Any], before: str) -> str:
    """The row as JSON in the manner of the line that it replaces."""
    escaped = before.isascii() and "\\u" in before
    tight = _LOOSE.match(before) is None
    return json.dumps(columns, ensure_ascii=escaped, separators=(",", ":") if tight else None)
