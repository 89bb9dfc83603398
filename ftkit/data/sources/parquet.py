"""Parquet, through pyarrow (the extra ``parquet``): read in batches of a few megabytes, whatever the row groups are."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any

from typing_extensions import override

from ftkit.data.sources.base import Reader, Source
from ftkit.data.sources.batch_spool import BatchSpool
from ftkit.data.sources.text import row_too_long
from ftkit.data.unusable_value import UnusableValue, column_json
from ftkit.errors import DataError, Place
from ftkit.extras import require

__all__ = ["Parquet"]

_BATCH_BYTES = 4 << 20
"""Decoded size of the batches in which rows are read in the file's order."""
_SPOOLED_BYTES = 128 << 10
"""Decoded size of the batches from which single rows are read: little is decoded for nothing."""
_MAX_BATCH_ROWS = 1024
_READ_AHEAD = 1 << 20
"""Bytes of a column that are read from the file at once. By default, pyarrow reads a column of a group as a whole."""


class Parquet(Source):
    """A Parquet file. The line of a row is its number, from 1."""

    def __init__(self, path: Path, name: str, *, max_line_bytes: int, nulls_are_absent: bool = True) -> None:
        super().__init__(path, name, max_line_bytes=max_line_bytes, nulls_are_absent=nulls_are_absent)
        try:
            with self.open_parquet() as file:
                groups = [file.metadata.row_group(number) for number in range(file.num_row_groups)]
                rows: list[int] = [group.num_rows for group in groups]
                self._bytes: list[int] = [group.total_byte_size for group in groups]
        except (OSError, ValueError) as error:  # pyarrow's own errors are these
            raise DataError(f"{name} is not a readable Parquet file: {error}") from error
        self.bounds: list[int] = [0, *accumulate(rows)]
        self._start_random_access()

    def _start_random_access(self) -> None:
        self._lock = threading.Lock()
        self._visits: Counter[int] = Counter()
        self._spool = BatchSpool()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_lock", "_visits", "_spool")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._start_random_access()

    def __len__(self) -> int:
        return self.bounds[-1]

    @override
    @classmethod
    def open_file(cls, path: Path, name: str, *, max_line_bytes: int, nulls_are_absent: bool) -> Source:
        # Arrow writes null for every key that another row has.
        return cls(path, name, max_line_bytes=max_line_bytes, nulls_are_absent=True)

    @override
    def line(self, row: int) -> int:
        return row + 1

    @override
    def _open(self, sequential: bool) -> Reader:
        return _SequentialReader(self) if sequential else _RandomReader(self)

    def open_parquet(self) -> Any:
        """Open the file with pyarrow.

        Returns:
            A ``pyarrow.parquet.ParquetFile``, to be closed.

        Raises:
            MissingExtraError: pyarrow is not installed.
        """
        parquet = require("pyarrow.parquet", extra="parquet", needed_for=f"reading {self.name}")
        return parquet.ParquetFile(self.path, buffer_size=_READ_AHEAD, pre_buffer=False)

    def group(self, row: int) -> int:
        """Find the row group of a row.

        Args:
            row: number of the row, from 0.

        Returns:
            Number of the group.
        """
        return bisect_right(self.bounds, row) - 1

    def batches(self, file: Any, group: int, size: int) -> Iterator[Any]:
        """Read a row group in batches.

        Args:
            file: from :meth:`open_parquet`.
            group: number of the row group.
            size: decoded size of a batch, in bytes, by the mean of the group's rows.

        Returns:
            Arrow's record batches, in order.
        """
        mean = self._bytes[group] // max(1, self.bounds[group + 1] - self.bounds[group])
        rows = max(1, min(_MAX_BATCH_ROWS, size // max(1, mean)))
        batches: Iterator[Any] = file.iter_batches(batch_size=rows, row_groups=[group], use_threads=False)
        return batches

    def random_batch(self, row: int) -> tuple[int, Any]:
        """Read a batch that holds a row.

        A group is decoded only up to the row at the first visit, and copied to a temporary file at the second one, so
        that a later row costs the decoding of one batch. Without room on the disk, it is decoded up to the row again.

        Args:
            row: number of the row, from 0.

        Returns:
            Number of the batch's first row, and the batch.
        """
        group = self.group(row)
        with self._lock:
            self._visits[group] += 1
            if self._spool.is_new_process():  # a fork: the parent goes on writing to its own file
                self._start_random_access()
            start = self.bounds[group]
            if not self._spool.has(start):
                if self._visits[group] <= 1 or not self._spool.has_room(self._bytes[group]):
                    return self._seek(group, row)
                with self.open_parquet() as file:
                    self._spool.add(start, self.batches(file, group, _SPOOLED_BYTES))
            return self._spool.batch(row)

    def _seek(self, group: int, row: int) -> tuple[int, Any]:
        first = self.bounds[group]
        with self.open_parquet() as file:
            for batch in self.batches(file, group, _BATCH_BYTES):
                if row < first + len(batch):
                    return first, batch
                first += len(batch)
        raise ValueError("the row group has fewer rows than it says")


class _BatchReader(Reader):
    """Reads rows of the current batch."""

    def __init__(self, source: Parquet) -> None:
        self._source = source
        self._first = 0
        self._rows: list[dict[str, Any] | int] = []

    def _row(self, row: int, place: Place) -> dict[str, Any]:
        values = self._rows[row - self._first]
        if isinstance(values, int):
            raise row_too_long(place, values, self._source.max_line_bytes)
        return {name: column_json(value, place, name) for name, value in values.items()}


class _SequentialReader(_BatchReader):
    """Reads rows in the file's order. An earlier row causes its row group to be read again."""

    def __init__(self, source: Parquet) -> None:
        super().__init__(source)
        self._file = source.open_parquet()
        self._group = -1
        self._batches: Iterator[Any] = iter(())
        self._next = 0

    @override
    def read(self, row: int, place: Place) -> dict[str, Any]:
        if not self._first <= row < self._first + len(self._rows):
            try:
                self._advance(row)
            except (OSError, ValueError) as error:
                self._group = -1
                raise DataError(f"cannot be read: {error}", place=place) from error
        return self._row(row, place)

    def _advance(self, row: int) -> None:
        group = self._source.group(row)
        if group != self._group or row < self._next:
            self._group, self._next = group, self._source.bounds[group]
            self._batches = self._source.batches(self._file, group, _BATCH_BYTES)
        for batch in self._batches:
            first, self._next = self._next, self._next + len(batch)
            if row < self._next:
                self._first, self._rows = first, _python_rows(batch, self._source.max_line_bytes)
                return
        raise ValueError("the row group has fewer rows than it says")

    @override
    def close(self) -> None:
        self._batches = iter(())
        self._rows = []
        self._file.close()


class _RandomReader(_BatchReader):
    """Reads rows in any order."""

    def __init__(self, source: Parquet) -> None:
        super().__init__(source)
        self._batch: Any = ()
        self._batch_first = 0

    @override
    def read(self, row: int, place: Place) -> dict[str, Any]:
        try:
            if not self._batch_first <= row < self._batch_first + len(self._batch):
                self._batch_first, self._batch = self._source.random_batch(row)
            only = self._batch.slice(row - self._batch_first, 1)
            self._first, self._rows = row, _python_rows(only, self._source.max_line_bytes)
        except (OSError, ValueError) as error:
            raise DataError(f"cannot be read: {error}", place=place) from error
        return self._row(row, place)

    @override
    def close(self) -> None:
        self._batch, self._rows = (), []


def _python_rows(batch: Any, limit: int) -> list[dict[str, Any] | int]:
    """The rows of a batch as Python values; of a row that is too long its decoded size."""
    if batch.nbytes > limit and len(batch) > 1:
        return [row for at in range(len(batch)) for row in _python_rows(batch.slice(at, 1), limit)]
    if batch.nbytes > limit:
        return [int(batch.nbytes)]
    names = batch.schema.names
    columns = [_python_values(name, column) for name, column in zip(names, batch.columns, strict=True)]
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def _python_values(name: str, column: Any) -> list[Any]:
    try:
        values: list[Any] = column.to_pylist()
    except (ValueError, OverflowError):
        return [_python_value(name, scalar) for scalar in column]
    return values


def _python_value(name: str, scalar: Any) -> Any:
    try:
        return scalar.as_py()
    except (ValueError, OverflowError) as error:
        return UnusableValue(f"cannot be read: {error}", name, f"{scalar.type}: {error}")
