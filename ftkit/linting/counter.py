"""Counts of ways of doing something, in bounded memory."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Self

__all__ = ["Tally", "rare"]

MAX_SUBJECTS = 200_000
"""Different subjects that are counted; further ones are not."""
MAX_ROWS = 1_000
"""Row numbers that are kept of each way: rare ways are what is asked for, so that is all of them."""


class Tally:
    """For each subject, how often it is done which way, and the first rows that do."""

    def __init__(self) -> None:
        self._counts: dict[str, dict[str, list[int]]] = {}
        self._rows: dict[tuple[str, str], array[int]] = {}

    def add(self, subject: str, way: str, row: int) -> None:
        ways = self._counts.get(subject)
        if ways is None:
            if len(self._counts) >= MAX_SUBJECTS:
                return
            ways = self._counts[subject] = {}
        count = ways.get(way)
        if count is None:
            if len(ways) >= MAX_ROWS:
                return
            ways[way] = [1]
            self._rows[subject, way] = array("q", [row])
            return
        count[0] += 1
        rows = self._rows[subject, way]
        if len(rows) < MAX_ROWS:
            rows.append(row)

    def merge(self, other: Tally) -> Self:
        """``other`` counted later rows."""
        for subject, ways in other._counts.items():
            mine = self._counts.get(subject)
            if mine is None:
                if len(self._counts) >= MAX_SUBJECTS:
                    continue
                mine = self._counts[subject] = {}
            for way, (count,) in ways.items():
                if way in mine:
                    mine[way][0] += count
                    rows = self._rows[subject, way]
                    rows.extend(other._rows[subject, way][: MAX_ROWS - len(rows)])
                elif len(mine) < MAX_ROWS:
                    mine[way] = [count]
                    self._rows[subject, way] = other._rows[subject, way]
        return self

    def __iter__(self) -> Iterator[tuple[str, dict[str, int]]]:
        """Each subject with its ways, the commonest first."""
        for subject, ways in self._counts.items():
            ordered = sorted(ways.items(), key=lambda item: (-item[1][0], item[0]))
            yield subject, {way: count for way, (count,) in ordered}

    def rows(self, subject: str, way: str) -> array[int]:
        """Numbers of the first rows that do it this way."""
        return self._rows[subject, way]


def rare(ways: dict[str, int], *, share: float, least: int) -> tuple[str, list[str]]:
    """The usual way and the rare ones; none is rare where there are too few rows.

    Args:
        ways: counts, the commonest first.
        share: of all rows, up to which a way is rare.
        least: rows that there must be in all.
    """
    total = sum(ways.values())
    usual = next(iter(ways))
    if total < least:
        return usual, []
    return usual, [way for way, count in ways.items() if way != usual and count <= share * total]
