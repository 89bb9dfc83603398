"""JSON Lines: one object a line."""

from __future__ import annotations

import codecs
from array import array
from bisect import bisect_right
from pathlib import Path
from typing import Any, BinaryIO

from typing_extensions import override

from ftkit.data.sources.base import SEQUENTIAL_BUFFER, Source
from ftkit.data.sources.json_array import JsonArray, is_array
from ftkit.data.sources.text import SpanReader, row_too_long, skip_byte_order_mark
from ftkit.data.strict_json import parse_json_object
from ftkit.data.unusable_value import decode_columns
from ftkit.errors import Place

__all__ = ["JsonLines"]


_NOTHING = codecs.BOM_UTF8 + b" \t\r\n"
_LONGEST_LOOK = 4
"""How many times the largest row is read, to say the size of one that is too long."""


class JsonLines(Source):
    """A file with one JSON object a line, or one JSON array.

    Empty lines are skipped; a byte-order mark and CRLF are accepted.
    """

    has_json_lines = True

    def __init__(self, path: Path, name: str, *, max_line_bytes: int, nulls_are_absent: bool = False) -> None:
        super().__init__(path, name, max_line_bytes=max_line_bytes, nulls_are_absent=nulls_are_absent)
        self._starts = array("q")
        # One entry for each blank line: how many rows stand above it. Few files have any.
        self._blanks = array("q")
        with self.path.open("rb", buffering=SEQUENTIAL_BUFFER) as file:
            self._index(file)

    def _index(self, file: BinaryIO) -> None:
        position = skip_byte_order_mark(file, self.name)
        limit = self.max_line_bytes
        while line := file.readline(limit + 2):
            if len(line) > limit and len(line.rstrip(b"\r\n")) > limit:
                size = len(line)
                while line and not line.endswith(b"\n") and size <= _LONGEST_LOOK * limit:
                    line = file.readline(SEQUENTIAL_BUFFER)
                    size += len(line)
                is_whole = not line or line.endswith(b"\n")
                size -= len(line) - len(line.rstrip(b"\r\n"))
                place = Place(self.name, self.line(len(self._starts)))
                raise row_too_long(place, size, limit, at_least=not is_whole)
            if line.isspace() or (line.startswith(codecs.BOM_UTF8) and not line.strip(_NOTHING)):
                self._blanks.append(len(self._starts))
            else:
                self._starts.append(position)
            position += len(line)
        self._end = position

    def __len__(self) -> int:
        return len(self._starts)

    @override
    @classmethod
    def open_file(cls, path: Path, name: str, *, max_line_bytes: int, nulls_are_absent: bool) -> Source:
        kind: type[Source] = JsonArray if is_array(path, name) else cls
        return kind(path, name, max_line_bytes=max_line_bytes, nulls_are_absent=nulls_are_absent)

    @override
    def line(self, row: int) -> int:
        return row + 1 + bisect_right(self._blanks, row)

    @override
    def _open(self, sequential: bool) -> _Reader:
        return _Reader(str(self.path), self._starts, self._end, sequential)


class _Reader(SpanReader):
    @override
    def read(self, row: int, place: Place) -> dict[str, Any]:
        return decode_columns(parse_json_object(self.span(row), place, self._starts[row]))
