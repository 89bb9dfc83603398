"""One JSON array of objects, as Alpaca and ShareGPT files are published: indexed without parsing it as a whole."""

from __future__ import annotations

import mmap
import re
from array import array
from pathlib import Path
from typing import Any

from typing_extensions import override

from ftkit.data.sources.base import Source
from ftkit.data.sources.text import SpanReader, row_too_long, skip_byte_order_mark
from ftkit.data.strict_json import parse_json_object
from ftkit.errors import DataError, Place

__all__ = ["JsonArray", "is_array"]

# A string without its closing quote is a token too. If it were not, the search would go on at every later quote, and a
# file that was cut off inside a string would take time that grows with the square of its size.
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*("?)|[\[\]{},\n]', re.DOTALL)
_SPACE = re.compile(rb"(?:[ \t\r\n]++|\xef\xbb\xbf)*+")
"""Space between values, and the byte-order marks of joined files. Possessive, so that long space takes no memory."""
_HEAD = 4096
"""Bytes of the first element that are looked at to explain a fault."""


def is_array(path: Path, name: str) -> bool:
    """Whether the first character of a file opens an array.

    Args:
        path: the file.
        name: what errors call it.

    Returns:
        Whether it does.

    Raises:
        DataError: the file is not UTF-8 text.
    """
    with path.open("rb") as file:
        skip_byte_order_mark(file, name)
        while block := file.read(4096):
            if text := block.lstrip():
                return text.startswith(b"[")
    return False


class JsonArray(Source):
    """A file that is one array, its elements the rows."""

    def __init__(self, path: Path, name: str, *, max_line_bytes: int, nulls_are_absent: bool = False) -> None:
        super().__init__(path, name, max_line_bytes=max_line_bytes, nulls_are_absent=nulls_are_absent)
        self._starts = array("q")
        self._ends = array("q")
        self._lines = array("q")
        with self.path.open("rb") as file:
            start = skip_byte_order_mark(file, self.name)
            # re reads a memory map in place: the file is never in memory as a whole.
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
                self._index(text, start)

    def _index(self, text: mmap.mmap, start: int) -> None:
        line, depth, closed = 1, 0, -1
        for match in _TOKEN.finditer(text, start):
            token = match[0]
            if token == b"\n":
                line += 1
            elif token == b",":
                if depth == 1:
                    self._finish(match.start())
                    self._begin(text, match.end(), line)
            elif token in b"[{":
                depth += 1
                if depth == 1:
                    self._begin(text, match.end(), line)
            elif token in b"]}":
                depth -= 1
                if depth == 0:
                    closed = match.end()
                    self._finish(match.start())
                    break
            elif not match[1]:  # the file ends inside a string
                break
            else:
                line += token.count(b"\n")
        if closed < 0:
            raise DataError("the array that begins the file is never closed; the file was cut off", place=self._last())
        if (rest := _SPACE.match(text, closed)) and rest.end() != len(text):
            raise DataError(self._explain_rest(text, rest.end()), place=Place(self.name, line + rest[0].count(b"\n")))
        if len(self) == 1 and not text[self._starts[0] : self._ends[0]].strip():
            del self._starts[:], self._ends[:], self._lines[:]

    def _explain_rest(self, text: mmap.mmap, position: int) -> str:
        """Say what probably follows the array that begins the file."""
        follows = text[position : position + 1]
        first = text[self._starts[0] : min(self._ends[0], self._starts[0] + _HEAD)] if len(self) else b""
        if follows == b"[" and first.startswith(b"{") and any(key in first for key in (b'"role"', b'"from"')):
            return (
                "another array follows the one that begins the file. If each line is the messages of one row, write "
                'each as an object: {"messages": [...]}'
            )
        if follows == b"[":
            return (
                "another array follows the one that begins the file; join them to one array, or write one object a line"
            )
        if follows == b",":
            return "a comma follows the array that begins the file; a line of JSON ends without one"
        return "something follows the array that begins the file"

    def _begin(self, text: mmap.mmap, position: int, line: int) -> None:
        space = _SPACE.match(text, position)
        skipped = space[0] if space else b""
        self._starts.append(position + len(skipped))
        self._lines.append(line + skipped.count(b"\n"))

    def _finish(self, position: int) -> None:
        self._ends.append(position)
        size = position - self._starts[-1]
        if size > self.max_line_bytes:
            raise row_too_long(self._last(), size, self.max_line_bytes)

    def _last(self) -> Place:
        return Place(self.name, self._lines[-1] if self._lines else 1)

    def __len__(self) -> int:
        return len(self._ends)

    @override
    def line(self, row: int) -> int:
        return self._lines[row]

    @override
    def place(self, row: int) -> Place:
        line = self._lines[row]
        beside = [at for at in (row - 1, row + 1) if 0 <= at < len(self) and self._starts[at] < self._ends[at]]
        is_shared = any(self._lines[at] == line for at in beside)
        return Place(self.name, line, row + 1 if is_shared and self._starts[row] < self._ends[row] else None)

    @override
    def _open(self, sequential: bool) -> _Reader:
        return _Reader(self, self._starts, self._ends, sequential)


class _Reader(SpanReader):
    def __init__(self, source: JsonArray, starts: array[int], ends: array[int], sequential: bool) -> None:
        super().__init__(str(source.path), starts, source.stamp[0], sequential)
        self._ends = ends

    @override
    def read(self, row: int, place: Place) -> dict[str, Any]:
        start = self._starts[row]
        raw = self.span(row)[: self._ends[row] - start]
        if not raw.strip():
            raise DataError(
                "empty, but JSON was expected between two commas or after the last one; delete the comma", place=place
            )
        return parse_json_object(raw, place, start)
