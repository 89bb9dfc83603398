"""All rows together, as rules see them: facts in memory, the rows themselves on disk."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ftkit.data import Dataset
from ftkit.errors import Place
from ftkit.linting.context import Setting
from ftkit.linting.row_features import Facts, Hashes
from ftkit.linting.row_view import Seen
from ftkit.linting.scan import see

if TYPE_CHECKING:
    from ftkit.linting.near_duplicates import Pair

__all__ = ["Whole", "same"]


class Whole:
    """The rows of all splits, numbered through.

    Attributes:
        facts: see :class:`~ftkit.linting.row_features.Facts`.
        setting: what they are linted for.
        splits: names of the splits, in order.
    """

    def __init__(self, data: Sequence[tuple[str, Dataset]], facts: Facts, setting: Setting) -> None:
        self._data = [rows for _, rows in data]
        self._bounds = [0, *accumulate(len(rows) for rows in self._data)]
        self.facts = facts
        self.setting = setting
        self.splits = tuple(name for name, _ in data)

    def split(self, number: int) -> str:
        """The split that a row is in."""
        return self.splits[bisect_right(self._bounds, number) - 1]

    @cached_property
    def split_of(self) -> NDArray[np.uint8]:
        """Of each row the number of its split."""
        return np.repeat(np.arange(len(self._data), dtype=np.uint8), [len(rows) for rows in self._data])

    @cached_property
    def training(self) -> slice:
        """The rows that are trained on: the first split."""
        return slice(0, self._bounds[1])

    @cached_property
    def readable(self) -> NDArray[np.bool_]:
        """Which rows can be used."""
        return np.asarray(self.facts.whole != 0)

    def seen(self, number: int) -> Seen:
        """The row itself, read again."""
        split = bisect_right(self._bounds, number) - 1
        return see(self._data[split], number - self._bounds[split], number, self.splits[split])

    def place(self, number: int) -> Place:
        """Where a row is."""
        split = bisect_right(self._bounds, number) - 1
        return self._data[split].place(number - self._bounds[split])

    @property
    def training_bytes(self) -> int:
        """About how large the training rows are: their share of the files that they stand in."""
        data = self._data[0]
        return sum(path.stat().st_size for path in data.sources) * len(data) // max(1, data.rows_in_sources)

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of all files, as they were given."""
        return tuple(dict.fromkeys(name for rows in self._data for name in rows.source_names))

    @cached_property
    def similar(self) -> list[Pair]:
        """Pairs of rows with inputs that are nearly the same: see :mod:`ftkit.linting.near_duplicates`."""
        from ftkit.linting.near_duplicates import similar_pairs

        return similar_pairs(self)


def same(values: Hashes, rows: NDArray[np.int64] | None = None) -> Iterator[NDArray[np.int64]]:
    """Numbers of the rows that have a value in common, group by group, each in ascending order; 0 is no value.

    Args:
        values: one of each row.
        rows: only these rows.
    """
    numbers = np.arange(len(values), dtype=np.int64) if rows is None else rows
    chosen = values if rows is None else values[rows]
    order = np.argsort(chosen, kind="stable")
    ordered = chosen[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(ordered) else np.empty(0, dtype=np.int64)
    ends = np.r_[starts[1:], len(ordered)]
    several = (ends - starts > 1) & (ordered[starts] != 0) if len(starts) else np.empty(0, dtype=bool)
    for start, end in zip(starts[several].tolist(), ends[several].tolist(), strict=True):
        yield numbers[order[start:end]]
