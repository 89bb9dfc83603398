"""What a file of rows gives: how many, where each one is, and a reader."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ftkit.errors import DataError, Place

__all__ = ["MAX_LINE_BYTES", "SEEK_BUFFER", "SWEEP_BUFFER", "Reader", "Source"]

MAX_LINE_BYTES = 64 * 1024 * 1024
"""The longest row, in bytes: a longer one is a broken file far more often than a conversation."""

SWEEP_BUFFER = 1 << 20
"""Bytes to read ahead when rows are read in the file's order."""
SEEK_BUFFER = 1 << 13
"""Bytes to read at once when rows are read in any order: a large buffer would be thrown away at each jump."""


class Reader(ABC):
    """An open file. Each iteration has its own, so that two at the same time do not disturb each other."""

    @abstractmethod
    def read(self, row: int, place: Place) -> dict[str, Any]:
        """The columns of row ``row`` (from 0), which is at ``place``.

        Raises:
            DataError: the row is not what a file of this kind holds.
        """

    def close(self) -> None:  # noqa: B027  not every reader holds a file
        """Free what the reader holds."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


class Source(ABC):
    """One file of rows, indexed once, its rows read when they are asked for.

    Attributes:
        path: absolute path of the file.
        name: how places call it: the path as the user wrote it.
        nulls_are_absent: the file's kind fills keys that a row does not have with null (Arrow does), so a null inside
            a message or a tool says nothing.
    """

    def __init__(self, path: Path, name: str, *, max_line_bytes: int, nulls_are_absent: bool = False) -> None:
        self.path = path.absolute()
        self.name = name
        self.max_line_bytes = max_line_bytes
        self.nulls_are_absent = nulls_are_absent
        self.stamp = self._stat()

    @abstractmethod
    def __len__(self) -> int:
        """How many rows the file holds."""

    @abstractmethod
    def line(self, row: int) -> int:
        """The line on which row ``row`` (from 0) begins, from 1."""

    @abstractmethod
    def _open(self, sweep: bool) -> Reader: ...

    def place(self, row: int) -> Place:
        return Place(self.name, self.line(row))

    def open(self, *, sweep: bool) -> Reader:
        """A reader; ``sweep`` says that rows will be asked for in the file's order.

        Raises:
            DataError: the file is gone, or is no longer the one that was indexed.
        """
        if self._stat() != self.stamp:
            raise DataError(f"{self.name} has changed since it was loaded. Load it again.")
        return self._open(sweep)

    def digest(self) -> str:
        """SHA-256 of the file's bytes, in hex."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def _stat(self) -> tuple[int, int]:
        try:
            status = self.path.stat()
        except OSError as error:
            raise DataError(f"{self.name} cannot be read: {error.strerror or error}.") from error
        return status.st_size, status.st_mtime_ns
