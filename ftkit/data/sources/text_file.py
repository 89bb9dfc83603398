"""A file of plain text, which is one row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from typing_extensions import override

from ftkit.data.sources.base import SEQUENTIAL_BUFFER, Reader, Source
from ftkit.data.sources.text import row_too_long, skip_byte_order_mark
from ftkit.data.strict_json import decode_utf8
from ftkit.errors import DataError, Place

__all__ = ["TextFile"]


class TextFile(Source):
    """A document: one row with the column ``text``."""

    def __init__(self, path: Path, name: str, *, max_line_bytes: int, nulls_are_absent: bool = False) -> None:
        super().__init__(path, name, max_line_bytes=max_line_bytes, nulls_are_absent=nulls_are_absent)
        size = self.stamp[0]
        if size > max_line_bytes:
            raise row_too_long(Place(name, 1), size, max_line_bytes, " A file of text is one row.")
        with self.path.open("rb") as file:
            self.begin = skip_byte_order_mark(file, name)

    @override
    def __len__(self) -> int:
        return 1

    @override
    def line(self, row: int) -> int:
        return 1

    @override
    def _open(self, sequential: bool) -> Reader:
        return _TextReader(self)


class _TextReader(Reader):
    def __init__(self, source: TextFile) -> None:
        self._file = source.path.open("rb", buffering=SEQUENTIAL_BUFFER)
        self._source = source

    @override
    def read(self, row: int, place: Place) -> dict[str, Any]:
        self._file.seek(self._source.begin)
        content = self._file.read(self._source.max_line_bytes + 1)
        if len(content) > self._source.max_line_bytes:
            raise DataError("the file has grown since it was loaded. Load it again.", place=place)
        return {"text": decode_utf8(content, place, self._source.begin)}

    @override
    def close(self) -> None:
        self._file.close()
