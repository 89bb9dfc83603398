"""All rows together, as rules see them: features in memory, the rows themselves on disk."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from ftkit.data import Dataset
from ftkit.errors import Place
from ftkit.linting.context import LintContext
from ftkit.linting.near_duplicates import SimilarPair, find_near_duplicates
from ftkit.linting.row_features import RowFeatures
from ftkit.linting.row_view import RowRange, RowView, read_rows
from ftkit.linting.time_budget import TimeBudget

__all__ = ["Corpus"]

_CACHED_ROWS = 2_000
"""Rows that stay in memory once they were read again."""


class Corpus:
    """The rows of all splits, numbered consecutively.

    Args:
        data: name and rows of each split, the training rows first.
        features: features of all rows; None if no rule needs them.
        context: what the rows are linted for.

    Attributes:
        context: what the rows are linted for.
        splits: names of the splits, in order.
        budget: the time of the rule that runs now. A rule that may take long asks for what is left.
    """

    def __init__(self, data: Sequence[tuple[str, Dataset]], features: RowFeatures | None, context: LintContext) -> None:
        self._data = [rows for _, rows in data]
        self._bounds = [0, *accumulate(len(rows) for rows in self._data)]
        self._views: OrderedDict[int, RowView] = OrderedDict()
        self._features = features
        self.context = context
        self.budget = TimeBudget()
        self.splits = tuple(name for name, _ in data)

    @property
    def features(self) -> RowFeatures:
        """Features of all rows."""
        if self._features is None:
            raise RuntimeError("no features were computed, because no rule has needs_features = True")
        return self._features

    @cached_property
    def split_index(self) -> NDArray[np.uint8]:
        """Index of the split of each row, uint8 [rows]; 0 is the training split."""
        return np.repeat(np.arange(len(self._data), dtype=np.uint8), [len(rows) for rows in self._data])

    @cached_property
    def training(self) -> slice:
        """The training rows: the first split."""
        return slice(0, self._bounds[1])

    @cached_property
    def readable(self) -> NDArray[np.bool_]:
        """Which rows can be used, bool [rows]."""
        return np.asarray(self.features.content != 0)

    def view(self, number: int) -> RowView:
        """Read a row again. The last rows read stay in memory.

        Args:
            number: number of the row among all rows.

        Returns:
            The row.
        """
        if number not in self._views:
            for view in self.views([number]):
                self._views[number] = view
            if len(self._views) > _CACHED_ROWS:
                self._views.popitem(last=False)
        self._views.move_to_end(number)
        return self._views[number]

    def views(self, numbers: Iterable[int]) -> Iterator[RowView]:
        """Read rows again, each file once and in its order. This is much faster than :meth:`view` for each row.

        Args:
            numbers: numbers of the rows among all rows.

        Yields:
            Each row once, in ascending order.
        """
        ordered = sorted(set(numbers))
        for split, data in enumerate(self._data):
            first, stop = self._bounds[split], self._bounds[split + 1]
            chosen = ordered[bisect_left(ordered, first) : bisect_left(ordered, stop)]
            if chosen:
                rows = RowRange(
                    data.select([number - first for number in chosen]), self.splits[split], 0, len(chosen), 0
                )
                for number, view in zip(chosen, read_rows(rows), strict=True):
                    view.number = number
                    yield view

    def data_of(self, number: int) -> Dataset:
        """Return the split of a row.

        Args:
            number: number of the row among all rows.

        Returns:
            The rows of the split.
        """
        return self._data[self._locate(number)[0]]

    def place(self, number: int) -> Place:
        """Return file and line of a row.

        Args:
            number: number of the row among all rows.

        Returns:
            The place.
        """
        split, at = self._locate(number)
        return self._data[split].place(at)

    @property
    def training_bytes(self) -> int:
        """Size of the training rows: their share of the files that hold them."""
        data = self._data[0]
        return sum(path.stat().st_size for path in data.sources) * len(data) // max(1, data.rows_in_sources)

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of all files, as they were given."""
        return tuple(dict.fromkeys(name for rows in self._data for name in rows.source_names))

    @cached_property
    def near_duplicates(self) -> list[SimilarPair]:
        """Pairs of rows with nearly the same input; see :mod:`ftkit.linting.near_duplicates`."""
        return find_near_duplicates(
            self.features, lambda rows: {view.number: view.input_words for view in self.views(rows)}
        )

    def _locate(self, number: int) -> tuple[int, int]:
        """The index of a row's split, and its position in it."""
        split = bisect_right(self._bounds, number) - 1
        return split, number - self._bounds[split]
