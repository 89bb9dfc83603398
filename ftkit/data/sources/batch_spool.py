"""A temporary file of Arrow's record batches, from which single rows are read."""

from __future__ import annotations

import os
import shutil
import tempfile
from array import array
from bisect import bisect_right, insort
from collections.abc import Iterable
from typing import IO, Any

from ftkit.data.row_file import row_file_folder
from ftkit.extras import require

__all__ = ["BatchSpool"]


class BatchSpool:
    """Batches by the number of their first row, in a file without a name that vanishes with the object.

    Only the batch that is asked for is in memory.
    """

    def __init__(self) -> None:
        self._process = os.getpid()
        self._opened: IO[bytes] | None = None
        self._runs: list[int] = []
        self._firsts: dict[int, array[int]] = {}
        self._offsets: dict[int, array[int]] = {}

    def is_new_process(self) -> bool:
        """Say whether the process is a fork of the one that began the file.

        Returns:
            Whether it is. It must not write to the file, which is the other one's.
        """
        return self._process != os.getpid()

    def has(self, start: int) -> bool:
        """Say whether a run of batches has been added.

        Args:
            start: number of the run's first row.

        Returns:
            Whether it has.
        """
        return start in self._firsts

    def has_room(self, size: int) -> bool:
        """Say whether the disk has room for a run of batches, and as much again and a gibibyte for others.

        Args:
            size: decoded size of the run, in bytes.

        Returns:
            Whether it has.
        """
        return shutil.disk_usage(self._folder()).free > 2 * size + (1 << 30)

    def add(self, start: int, batches: Iterable[Any]) -> None:
        """Write batches to the file.

        Args:
            start: number of the first row.
            batches: Arrow's record batches, one after the other.

        Raises:
            OSError: the file cannot be written.
        """
        ipc = require("pyarrow.ipc", extra="parquet", needed_for="reading Parquet")
        file = self._file()
        firsts, offsets = array("q"), array("q", [file.seek(0, os.SEEK_END)])
        first = start
        for batch in batches:
            # Each batch is a stream of its own, with its schema and its dictionaries.
            with ipc.new_stream(file, batch.schema) as stream:
                stream.write_batch(batch)
            firsts.append(first)
            offsets.append(file.tell())
            first += len(batch)
        file.flush()
        insort(self._runs, start)
        self._firsts[start], self._offsets[start] = firsts, offsets

    def batch(self, row: int) -> tuple[int, Any]:
        """Read the batch that holds a row.

        Args:
            row: number of the row, whose run has been added.

        Returns:
            Number of the batch's first row, and the batch.
        """
        ipc = require("pyarrow.ipc", extra="parquet", needed_for="reading Parquet")
        start = self._runs[bisect_right(self._runs, row) - 1]
        firsts, offsets = self._firsts[start], self._offsets[start]
        at = bisect_right(firsts, row) - 1
        file = self._file()
        file.seek(offsets[at])
        with ipc.open_stream(file.read(offsets[at + 1] - offsets[at])) as stream:
            return firsts[at], stream.read_next_batch()

    def _file(self) -> IO[bytes]:
        """The file, which is begun when it is first needed."""
        if self._opened is None:
            self._opened = tempfile.TemporaryFile(dir=self._folder())  # noqa: SIM115  closed with the object
        return self._opened

    def _folder(self) -> str:
        """Where the file is: beside other copies of rows, unless ftkit's home folder cannot be written to."""
        try:
            folder = row_file_folder()
        except OSError:
            return tempfile.gettempdir()
        return str(folder) if os.access(folder, os.W_OK) else tempfile.gettempdir()
