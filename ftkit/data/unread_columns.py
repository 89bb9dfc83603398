"""Counting the columns, and the keys of messages, that hold something and that nothing reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ftkit.data.columns_beside import is_unread
from ftkit.data.row_reader import RowReader

__all__ = ["UnreadColumns", "describe_unread_columns"]

_REMEMBERED = 1_000


class UnreadColumns:
    """Finds the unread columns of rows, and counts them.

    Args:
        row_reader: how the rows are read.
    """

    def __init__(self, row_reader: RowReader) -> None:
        self._row_reader = row_reader
        self._by_names: dict[tuple[str, ...], list[str]] = {}
        """By the names of a row's columns, those that nothing reads; most rows have the same ones."""
        self.counts: Counter[str] = Counter()

    def of(self, columns: Mapping[str, Any]) -> list[str]:
        """List the unread columns of a row, and the unread keys of its messages.

        Args:
            columns: as read from the file.

        Returns:
            Names of columns that are not empty, in the row's order, and e.g. ``messages[].language``.
        """
        names = tuple(columns)
        unread = self._by_names.get(names)
        if unread is None:
            if len(self._by_names) >= _REMEMBERED:  # rows that differ in their columns
                self._by_names.clear()
            unread = self._by_names[names] = self._row_reader.unread_names(columns)
        found = [name for name in unread if is_unread(name, columns[name])] if unread else []
        return found + self._row_reader.unread_keys(columns)

    def add(self, columns: Mapping[str, Any]) -> None:
        """Count the unread columns of a row.

        Args:
            columns: as read from the file.
        """
        self.counts.update(self.of(columns))

    def counted(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
        """Count rows on their way to something else.

        Args:
            rows: the columns of each row.

        Yields:
            The same columns.
        """
        for columns in rows:
            self.add(columns)
            yield columns


def describe_unread_columns(counts: Mapping[str, int], shown: int = 10) -> str:
    """Write the counts as a sentence.

    Args:
        counts: number of rows by column.
        shown: columns that are named.

    Returns:
        For example ``"columns that nothing reads, with their number of rows: source (40)"``.
    """
    named = [f"{name:.60} ({count:,})" for name, count in list(counts.items())[:shown]]
    more = [f"and {len(counts) - shown:,} more"] if len(counts) > shown else []
    return f"columns that nothing reads, with their number of rows: {', '.join([*named, *more])}"
