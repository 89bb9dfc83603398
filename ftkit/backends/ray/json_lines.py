"""A file to which one process appends JSON values while another one reads on from a byte."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from ftkit.errors import ConfigError

__all__ = ["JsonLines", "Lines", "check_line"]

_PAGE_BYTES = 1 << 20
_MAX_LINE_BYTES = 64 << 20


class Lines(Protocol):
    """Values that one side appends and the other one reads on."""

    def append(self, value: dict[str, Any]) -> None:
        """Add a value.

        Args:
            value: plain JSON values.
        """

    def read(self, start: int) -> Iterator[tuple[int, dict[str, Any]]]:
        """Read values.

        Args:
            start: the place at which the first one begins; 0 is the first of all.

        Returns:
            The place after each value, and the value.
        """
        ...

    def close(self) -> None:
        """Write nothing more."""


def check_line(line: bytes) -> bytes:
    """Refuse a line that the other side would not read.

    Args:
        line: the line.

    Returns:
        The line.

    Raises:
        ConfigError: it is too long.
    """
    if len(line) >= _MAX_LINE_BYTES:
        raise ConfigError(f"{len(line):,} bytes are too many to send at once to a cluster; ask with fewer rows")
    return line


class JsonLines:
    """The file is opened anew each time, so that a network file system shows what the other side has written.

    Args:
        file: the file; made by the first value.
    """

    def __init__(self, file: Path) -> None:
        self._file, self._writing = file, threading.Lock()

    def append(self, value: dict[str, Any]) -> None:
        """Add a value.

        Args:
            value: plain JSON values.

        Raises:
            ConfigError: it is longer than what the other side reads.
        """
        line = check_line(json.dumps(value).encode() + b"\n")
        with self._writing, self._file.open("a+b") as file:
            if file.seek(0, os.SEEK_END) > 0:
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":  # a process was killed while it wrote
                    line = b"\n" + line
            file.write(line)

    def read(self, start: int) -> Iterator[tuple[int, dict[str, Any]]]:
        """Read a page of values.

        Args:
            start: the byte at which the first one begins.

        Yields:
            The byte after each value, and the value. One that a crash has cut off is left out.
        """
        try:
            with self._file.open("rb") as file:
                file.seek(start)
                page = start + _PAGE_BYTES
                while start < page and (line := file.readline(_MAX_LINE_BYTES)).endswith(b"\n"):
                    start += len(line)
                    try:
                        value = json.loads(line)
                    except ValueError:
                        continue
                    yield start, value
        except FileNotFoundError:
            return

    def close(self) -> None:
        """Do nothing: each value is written at once."""
