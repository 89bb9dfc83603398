"""What the text formats share: the first bytes of a file, and rows that lie at byte offsets."""

from __future__ import annotations

import codecs
from array import array
from typing import BinaryIO

from ftkit.data.sources.base import SEEK_BUFFER, SWEEP_BUFFER, Reader
from ftkit.errors import DataError, Place

__all__ = ["SpanReader", "begin", "too_long"]

_NOT_TEXT = {
    codecs.BOM_UTF16_LE: "is UTF-16; save it as UTF-8",
    codecs.BOM_UTF16_BE: "is UTF-16; save it as UTF-8",
    b"\x1f\x8b": "is gzip-compressed; unpack it first",
    b"PK\x03\x04": "is a zip archive; unpack it first",
    b"\x28\xb5\x2f\xfd": "is zstd-compressed; unpack it first",
    b"PAR1": "is a Parquet file; give it a name that ends in .parquet",
}


def begin(file: BinaryIO, name: str) -> int:
    """Move ``file`` to the first byte of its text, after a byte-order mark if there is one; the offset of that byte.

    Raises:
        DataError: the first bytes are those of a file that is not UTF-8 text.
    """
    head = file.read(4)
    for magic, trouble in _NOT_TEXT.items():
        if head.startswith(magic):
            raise DataError(f"{name} {trouble}.")
    start = len(codecs.BOM_UTF8) if head.startswith(codecs.BOM_UTF8) else 0
    file.seek(start)
    return start


def too_long(place: Place, size: int, limit: int, hint: str = "") -> DataError:
    """The error of a row of ``size`` bytes where ``limit`` are allowed."""
    return DataError(
        f"a row of {size:,} bytes, more than the {limit:,} allowed.{hint} If it is meant, pass max_line_bytes=.",
        place=place,
    )


class SpanReader(Reader):
    """Reads the bytes between two offsets."""

    def __init__(self, path: str, starts: array[int], end: int, sweep: bool) -> None:
        # Seeking inside the buffer costs no system call, so that a sweep needs no code of its own.
        self._file = open(path, "rb", buffering=SWEEP_BUFFER if sweep else SEEK_BUFFER)  # noqa: SIM115  closed by close()
        self._starts = starts
        self._end = end

    def span(self, row: int) -> bytes:
        start = self._starts[row]
        end = self._starts[row + 1] if row + 1 < len(self._starts) else self._end
        self._file.seek(start)
        return self._file.read(end - start)

    def close(self) -> None:
        self._file.close()
