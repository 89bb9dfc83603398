"""Parquet, through pyarrow (the extra ``parquet``): one row group in memory at a time, or as many as are small."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from itertools import accumulate
from pathlib import Path
from typing import Any

from typing_extensions import override

from ftkit.data.sources.base import Reader, Source
from ftkit.errors import DataError, Place
from ftkit.extras import require
from ftkit.schema.json_values import to_exact_json

__all__ = ["Parquet"]

_CACHE_BYTES = 128 * 1024 * 1024
"""Size of the row groups that are cached when rows are read in any order; at least one is cached."""
_SLICE = 1024
"""Rows that are converted to Python values at once when rows are read in the file's order."""


class Parquet(Source):
    """A Parquet file. The line of a row is its number, from 1."""

    def __init__(self, path: Path, name: str, *, max_line_bytes: int, nulls_are_absent: bool = True) -> None:
        super().__init__(path, name, max_line_bytes=max_line_bytes, nulls_are_absent=nulls_are_absent)
        parquet = _pyarrow(name)
        try:
            with parquet.ParquetFile(self.path) as file:
                groups: list[int] = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
        except (OSError, ValueError) as error:  # pyarrow's own errors are these
            raise DataError(f"{name} is not a readable Parquet file: {error}") from error
        self.bounds: list[int] = [0, *accumulate(groups)]

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
    def _open(self, sequential: bool) -> _Reader:
        return _Reader(self, sequential)


def _pyarrow(name: str) -> Any:
    return require("pyarrow.parquet", extra="parquet", needed_for=f"RowReader {name}")


class _Reader(Reader):
    def __init__(self, source: Parquet, sequential: bool) -> None:
        self._source = source
        self._file = _pyarrow(source.name).ParquetFile(source.path)
        self._groups: OrderedDict[int, Any] = OrderedDict()
        self._step = _SLICE if sequential else 1
        self._slice: list[dict[str, Any]] = []
        self._slice_start = 0

    @override
    def read(self, row: int, place: Place) -> dict[str, Any]:
        at = row - self._slice_start
        if not 0 <= at < len(self._slice):
            group = bisect_right(self._source.bounds, row) - 1
            first = row - self._source.bounds[group]
            try:
                self._slice = self._group(group).slice(first, self._step).to_pylist()
            except (OSError, ValueError) as error:
                raise DataError(f"cannot be read: {error}", place=place) from error
            self._slice_start, at = row, 0
        return {name: to_exact_json(value, place, name) for name, value in self._slice[at].items()}

    def _group(self, number: int) -> Any:
        if number in self._groups:
            self._groups.move_to_end(number)
            return self._groups[number]
        while self._groups and sum(table.nbytes for table in self._groups.values()) > _CACHE_BYTES:
            self._groups.popitem(last=False)
        table = self._groups[number] = self._file.read_row_group(number)
        return table

    @override
    def close(self) -> None:
        self._groups.clear()
        self._file.close()
