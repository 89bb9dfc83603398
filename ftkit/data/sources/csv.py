"""CSV and TSV: a header, then one record a row; quoted cells may hold line breaks."""

from __future__ import annotations

import csv
import io
import re
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from typing_extensions import override

from ftkit.data.sources.base import SEQUENTIAL_BUFFER, Source
from ftkit.data.sources.text import SpanReader, row_too_long, skip_byte_order_mark
from ftkit.data.strict_json import decode_utf8
from ftkit.errors import DataError, Place

__all__ = ["Csv"]

_LONGEST_NAME = 200
"""Characters of a column's name; a longer first line is a row."""
_SEPARATORS = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars (|)"}
_SEPARATOR_LINE = re.compile(rb'"?sep=([,;|\t])"?\r?\n', re.IGNORECASE)
"""A first line that names the separator of a file, as Excel writes it."""
_LONGEST_SEPARATOR_LINE = 16


class Csv(Source):
    """A table as text. Every cell is read as text; an empty cell is the empty text."""

    def __init__(self, path: Path, name: str, *, max_line_bytes: int, nulls_are_absent: bool = False) -> None:
        super().__init__(path, name, max_line_bytes=max_line_bytes, nulls_are_absent=nulls_are_absent)
        self.delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
        self._first_line = 1
        # The limit is one for the whole process and guards against what max_line_bytes guards against: only raise it.
        csv.field_size_limit(max(csv.field_size_limit(), max_line_bytes))
        self._starts = array("q")
        self._lines = array("q")
        with self.path.open("rb", buffering=SEQUENTIAL_BUFFER) as file:
            self._index(file)
        self.header = self._read_header()

    def _index(self, file: BinaryIO) -> None:
        start = skip_byte_order_mark(file, self.name)
        if separator := _SEPARATOR_LINE.match(file.read(_LONGEST_SEPARATOR_LINE)):
            self.delimiter = separator[1].decode()
            self._first_line = 2
            start += separator.end()
        file.seek(start)
        counter = _LineCounter(file, start, self._first_line, self.name, self.max_line_bytes)
        # Only where records begin matters here, so the bytes are taken as Latin-1, which never fails; a cell that is
        # malformed is found when its row is read, with its own place.
        records = csv.reader(counter, delimiter=self.delimiter)
        while True:
            start, line = counter.begin_record()
            try:
                record = next(records, None)
            except csv.Error:
                raise DataError(
                    "a carriage return that ends no line; save the file with LF or CRLF line ends, and quote cells "
                    "that hold line breaks",
                    place=Place(self.name, line),
                ) from None
            if record is None:
                break
            if record:
                self._starts.append(start)
                self._lines.append(line)
        self._end = counter.position

    def _read_header(self) -> list[str]:
        if not self._starts:
            raise DataError(f"{self.name} is empty; the first line must name the columns.")
        place = Place(self.name, self._lines[0])
        with _Reader(self, self._starts, self._end, sequential=False) as reader:
            header = reader.cells(0, place)
        seen: set[str] = set()
        for number, column in enumerate(header, start=1):
            if not column.strip():
                raise DataError(
                    f"column {number} of the header has no name (pandas writes such a one; use to_csv(index=False))",
                    place=place,
                )
            if len(column) > _LONGEST_NAME or "\n" in column:
                raise DataError(
                    f"the header is missing: {column[:40]!r}… looks like a row; the first line must name the columns",
                    place=place,
                )
            if column in seen:
                raise DataError(f"two columns of the header are called {column!r}", place=place, field=column)
            seen.add(column)
        if len(header) == 1:
            self._check_separator(header[0], place)
        return header

    def _check_separator(self, header: str, place: Place) -> None:
        """Refuse a header of one column that another separator would divide."""
        other = max((mark for mark in _SEPARATORS if mark != self.delimiter), key=header.count)
        if header.count(other):
            wanted, used = _SEPARATORS[self.delimiter], _SEPARATORS[other]
            ways = {
                ",": "give the file a name that ends in .csv",
                "\t": "give the file a name that ends in .tsv",
            }
            way = ways.get(other, f"save it with {wanted}, or begin it with the line sep={other}")
            raise DataError(
                f"the header is one column, {header[:80]!r}; cells must be separated by {wanted}, and these are "
                f"separated by {used}: {way}",
                place=place,
            )

    def __len__(self) -> int:
        return len(self._starts) - 1

    @override
    def line(self, row: int) -> int:
        return self._lines[row + 1]

    @override
    def _open(self, sequential: bool) -> _Reader:
        return _Reader(self, self._starts, self._end, sequential)


class _LineCounter:
    """Yields the lines of a file to ``csv.reader``, and knows the offset and the number of the next one."""

    def __init__(self, file: BinaryIO, position: int, line: int, name: str, limit: int) -> None:
        self._file = file
        self._name = name
        self._limit = limit
        self.position = position
        self._line = line
        self._record = (position, line)

    def begin_record(self) -> tuple[int, int]:
        self._record = (self.position, self._line)
        return self._record

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._file.readline(self._limit + 2)
        if not line:
            raise StopIteration
        self.position += len(line)
        self._line += 1
        start, number = self._record
        if self.position - start > self._limit + 2:
            hint = " Is a quotation mark left open?"
            raise row_too_long(Place(self._name, number), self.position - start, self._limit, hint)
        return line.decode("latin-1")


class _Reader(SpanReader):
    """Reads records of a CSV file."""

    def __init__(self, source: Csv, starts: array[int], end: int, sequential: bool) -> None:
        super().__init__(str(source.path), starts, end, sequential)
        self._source = source

    def cells(self, record: int, place: Place) -> list[str]:
        """Read the cells of a record.

        Args:
            record: number of the record; 0 is the header.
            place: of the record, for errors.

        Returns:
            The cells.

        Raises:
            DataError: the record is malformed.
        """
        text = decode_utf8(self.span(record), place, self._starts[record])
        try:
            return next(csv.reader(io.StringIO(text, newline=""), delimiter=self._source.delimiter, strict=True))
        except csv.Error as error:
            problem = {
                "unexpected end of data": "a quotation mark is opened and never closed",
            }.get(str(error), f"a quoted cell continues after its closing quotation mark ({error}); double inner marks")
            raise DataError(problem, place=place) from None

    @override
    def read(self, row: int, place: Place) -> dict[str, Any]:
        source = self._source
        cells = self.cells(row + 1, place)
        if [cells[0].removeprefix("\ufeff"), *cells[1:]] == source.header:
            raise DataError("the header is repeated, as where files are joined; delete the line", place=place)
        if len(cells) != len(source.header):
            raise DataError(
                f"{len(cells)} cells, but the header names {len(source.header)} columns; "
                "a cell that holds a separator or a line break must be in quotation marks",
                place=place,
            )
        return dict(zip(source.header, cells, strict=True))
