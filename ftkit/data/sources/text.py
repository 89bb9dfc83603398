"""What text files share: their first bytes, and rows at byte offsets."""

from __future__ import annotations

import codecs
from array import array
from typing import BinaryIO

from typing_extensions import override

from ftkit.data.sources.base import RANDOM_ACCESS_BUFFER, SEQUENTIAL_BUFFER, Reader
from ftkit.errors import DataError, Place

__all__ = ["SpanReader", "row_too_long", "skip_byte_order_mark"]

_NOT_TEXT = {
    codecs.BOM_UTF16_LE: "is UTF-16; save it as UTF-8",
    codecs.BOM_UTF16_BE: "is UTF-16; save it as UTF-8",
    b"\x1f\x8b": "is gzip-compressed; unpack it first",
    b"PK\x03\x04": "is a zip archive; unpack it first",
    b"\x28\xb5\x2f\xfd": "is zstd-compressed; unpack it first",
    b"PAR1": "is a Parquet file; give it a name that ends in .parquet",
}


def skip_byte_order_mark(file: BinaryIO, name: str) -> int:
    """Move a file to the first byte of its text, after a byte-order mark if there is one.

    Args:
        file: the file, open for reading.
        name: what errors call it.

    Returns:
        The offset of the first byte of the text.

    Raises:
        DataError: the first bytes are those of a file that is not UTF-8 text.
    """
    head = file.read(4)
    for magic, problem in _NOT_TEXT.items():
        if head.startswith(magic):
            raise DataError(f"{name} {problem}.")
    start = len(codecs.BOM_UTF8) if head.startswith(codecs.BOM_UTF8) else 0
    file.seek(start)
    return start


def row_too_long(place: Place, size: int, limit: int, hint: str = "", *, at_least: bool = False) -> DataError:
    """Make the error for a row that is too long.

    Args:
        place: of the row.
        size: of the row, in bytes.
        limit: bytes that are allowed.
        hint: a sentence about the likely cause.
        at_least: whether the row was not read to its end.

    Returns:
        The error.
    """
    least = "at least " if at_least else ""
    return DataError(
        f"a row of {least}{size:,} bytes, more than the {limit:,} allowed.{hint} If it is meant, pass max_line_bytes=.",
        place=place,
    )


class SpanReader(Reader):
    """Reads the bytes between two offsets."""

    def __init__(self, path: str, starts: array[int], end: int, sequential: bool) -> None:
        # Seeking inside the buffer costs no system call, so sequential reading needs no code of its own.
        self._file = open(path, "rb", buffering=SEQUENTIAL_BUFFER if sequential else RANDOM_ACCESS_BUFFER)  # noqa: SIM115  closed by close()
        self._starts = starts
        self._end = end

    def span(self, row: int) -> bytes:
        """Read the bytes of a row.

        Args:
            row: number of the row, from 0.

        Returns:
            The bytes up to the next row, line end included.
        """
        start = self._starts[row]
        end = self._starts[row + 1] if row + 1 < len(self._starts) else self._end
        self._file.seek(start)
        return self._file.read(end - start)

    @override
    def close(self) -> None:
        self._file.close()
