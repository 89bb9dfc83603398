"""The base class of file types: how many rows a file has, where each one is, and how to read it."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

from ftkit.errors import DataError, Place

__all__ = ["MAX_LINE_BYTES", "RANDOM_ACCESS_BUFFER", "SEQUENTIAL_BUFFER", "Reader", "Source"]

MAX_LINE_BYTES = 64 * 1024 * 1024
"""Default size of the largest row, in bytes. A larger one is more often a broken file than a conversation."""

SEQUENTIAL_BUFFER = 1 << 20
"""Bytes that are read ahead when rows are read in the file's order."""
RANDOM_ACCESS_BUFFER = 1 << 13
"""Bytes that are read at once when rows are read in any order, where a large buffer would be discarded at each jump."""


class Reader(ABC):
    """An open file. Each iteration has a reader of its own, so that two iterations do not disturb each other."""

    @abstractmethod
    def read(self, row: int, place: Place) -> dict[str, Any]:
        """Read one row.

        Args:
            row: number of the row, from 0.
            place: file and line of the row, for errors.

        Returns:
            The row's columns.

        Raises:
            DataError: the row is not valid in a file of this type.
        """

    def close(self) -> None:  # noqa: B027  not every reader holds a file
        """Close the file."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


class Source(ABC):
    """One file of rows, indexed once, its rows read on access.

    Attributes:
        path: absolute path of the file.
        name: the path as the user wrote it, which errors name.
        max_line_bytes: size of the largest row that is accepted, in bytes.
        nulls_are_absent: whether a null means that the row does not have the key, as in Arrow's files.
        stamp: size in bytes and time of the last change in nanoseconds, from when the file was indexed.
    """

    has_json_lines: ClassVar[bool] = False
    """Whether each row is one line of JSON, so that a row can be replaced by replacing its line."""

    def __init__(self, path: Path, name: str, *, max_line_bytes: int, nulls_are_absent: bool = False) -> None:
        self.path = path.absolute()
        self.name = name
        self.max_line_bytes = max_line_bytes
        self.nulls_are_absent = nulls_are_absent
        self.stamp = self._stat()

    @classmethod
    def open_file(cls, path: Path, name: str, *, max_line_bytes: int, nulls_are_absent: bool) -> Source:
        """Index a file. Override it where the content of a file decides its type.

        Args:
            path: the file.
            name: what errors call it.
            max_line_bytes: size of the largest row that is accepted, in bytes.
            nulls_are_absent: whether a null means that the row does not have the key.

        Returns:
            The indexed file.

        Raises:
            DataError: the file is not of this type.
        """
        return cls(path, name, max_line_bytes=max_line_bytes, nulls_are_absent=nulls_are_absent)

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of rows."""

    @abstractmethod
    def line(self, row: int) -> int:
        """Return the line on which a row begins.

        Args:
            row: number of the row, from 0.

        Returns:
            The line, from 1.
        """

    @abstractmethod
    def _open(self, sequential: bool) -> Reader: ...

    def place(self, row: int) -> Place:
        """Return where a row is.

        Args:
            row: number of the row, from 0.

        Returns:
            File and line.
        """
        return Place(self.name, self.line(row))

    def open(self, *, sequential: bool) -> Reader:
        """Open the file.

        Args:
            sequential: whether rows will be read in the file's order.

        Returns:
            A reader, to be closed.

        Raises:
            DataError: the file is gone, or is no longer the one that was indexed.
        """
        if self._stat() != self.stamp:
            raise DataError(f"{self.name} has changed since it was loaded. Load it again.")
        return self._open(sequential)

    def digest(self) -> str:
        """Compute the SHA-256 of the file's bytes.

        Returns:
            64 hex digits.
        """
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def _stat(self) -> tuple[int, int]:
        try:
            status = self.path.stat()
        except OSError as error:
            raise DataError(f"{self.name} cannot be read: {error.strerror or error}.") from error
        return status.st_size, status.st_mtime_ns
