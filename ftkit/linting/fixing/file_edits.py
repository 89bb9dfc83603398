"""Find the lines to fix in files, and write the fixed files."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ftkit.data import Dataset
from ftkit.data.unusable_value import encode_columns
from ftkit.files import atomic_writer
from ftkit.linting.fixing.row_fix import fixed_columns
from ftkit.linting.fixing.text_fixes import FIXABLE_CODES
from ftkit.linting.row_view import RowRange, read_rows
from ftkit.linting.scan import ScanOptions, is_ignored

__all__ = ["FixedFile", "LineChange", "fix"]

_SPACE_AFTER_COLON = re.compile(r'\s*\{\s*"(?:[^"\\]|\\.)*"\s*:\s')
"""A row with a space after its first colon."""


@dataclass(frozen=True, slots=True)
class LineChange:
    """A line before and after the fix.

    Attributes:
        line: its number, from 1.
        before: the text before, without line end.
        after: the text after, without line end.
    """

    line: int
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class FixedFile:
    """The result of fixing a file.

    Attributes:
        source: the file, as the user named it.
        target: the fixed file; None if there is nothing to fix, or files of this kind cannot be fixed.
        changes: number of fixed rows.
        note: why the file cannot be fixed, else empty.
    """

    source: str
    target: Path | None
    changes: int
    note: str = ""


def fix(
    data: Dataset,
    *,
    codes: Collection[str] = FIXABLE_CODES,
    ignore_rows: Mapping[str, Sequence[str]] | None = None,
    write: bool = True,
    on_change: Callable[[str, LineChange], None] | None = None,
) -> list[FixedFile]:
    """Write a fixed copy beside each file: ``train.fixed.jsonl`` beside ``train.jsonl``.

    Rows without findings are copied byte for byte. The copy is written atomically, and the original is not changed.
    Only JSON Lines files can be fixed.

    Args:
        data: the rows; of a view (a split, a filter) only the rows in it are fixed, and the others are copied.
        codes: rules whose findings are fixed, among :data:`FIXABLE_CODES`.
        ignore_rows: by row id, codes (or prefixes, or ``ALL``) that are not fixed in that row.
        write: whether to write the copies; False only reports the changes.
        on_change: called with the name of the file and each changed line.

    Returns:
        One result a file.
    """
    results = []
    options = ScanOptions(keep=0, ignore_rows=ignore_rows or {})
    changes = _changes(data, FIXABLE_CODES.intersection(codes), options)
    for path, name in zip(data.sources, data.source_names, strict=True):
        fixed_rows = changes.get(name, {})
        if name not in data.json_lines_names:
            results.append(FixedFile(name, None, 0, "only JSON Lines (.jsonl) can be fixed" if fixed_rows else ""))
            continue
        target = Path(name).with_suffix(f".fixed{path.suffix}")
        count = 0
        for change in _lines(path, fixed_rows, target if write and fixed_rows else None):
            count += 1
            if on_change is not None:
                on_change(name, change)
        results.append(FixedFile(name, target if count else None, count))
    return results


def _changes(data: Dataset, codes: Collection[str], options: ScanOptions) -> dict[str, dict[int, dict[str, Any]]]:
    """By file and line, the columns of the rows that change."""
    changes: dict[str, dict[int, dict[str, Any]]] = {}
    for view in read_rows(RowRange(data, "", 0, len(data), 0)):
        ignored = options.ignored(view)
        active = [code for code in codes if not is_ignored(code, ignored)]
        fixed = fixed_columns(view, data, active)
        if fixed is not None:
            changes.setdefault(view.place.source, {})[view.place.line] = fixed
    return changes


def _lines(path: Path, fixed_rows: Mapping[int, dict[str, Any]], target: Path | None) -> Iterator[LineChange]:
    if target is None:
        yield from (change for _, change in _raw_lines(path, fixed_rows) if change is not None)
        return
    with atomic_writer(target) as file:
        for raw, change in _raw_lines(path, fixed_rows):
            if change is None:
                file.write(raw)
            else:
                file.write(change.after.encode() + raw[len(raw.rstrip(b"\r\n")) :])
                yield change


def _raw_lines(path: Path, fixed_rows: Mapping[int, dict[str, Any]]) -> Iterator[tuple[bytes, LineChange | None]]:
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            if number not in fixed_rows:
                yield raw, None
                continue
            # A byte-order mark begins a line where files were joined.
            before = raw.decode("utf-8-sig").rstrip("\r\n")
            yield raw, LineChange(number, before, _to_json(fixed_rows[number], before))


def _to_json(columns: Mapping[str, Any], before: str) -> str:
    """The row as JSON, escaped and spaced like the line that it replaces."""
    escaped = before.isascii() and "\\u" in before
    compact = _SPACE_AFTER_COLON.match(before) is None
    return json.dumps(encode_columns(columns), ensure_ascii=escaped, separators=(",", ":") if compact else None)
