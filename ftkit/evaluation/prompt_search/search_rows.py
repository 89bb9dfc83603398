"""The three parts of the rows of a search for a prompt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from ftkit.counts import counted
from ftkit.data import Dataset, Row
from ftkit.errors import ConfigError
from ftkit.results.json_values import canonical, plain

__all__ = ["SearchRows"]

_LEAST = 12
"""Fewest rows that can be split into three parts."""
_MOST_LEARNING = 2_000
"""Most rows that are read to learn from; a search reads few of them."""


@dataclass(frozen=True, slots=True)
class SearchRows:
    """Rows in three parts that share no group and no prompt.

    Attributes:
        learning: rows that proposals are made of.
        choosing: rows that candidates are compared on.
        held_out: rows that the result is measured on.
        learning_rows: the same, read.
        choosing_rows: the same, read.
        held_out_rows: the same, read.
    """

    learning: Dataset
    choosing: Dataset
    held_out: Dataset
    learning_rows: tuple[Row, ...]
    choosing_rows: tuple[Row, ...]
    held_out_rows: tuple[Row, ...]

    @classmethod
    def of(cls, data: Dataset, *, choosing: int, held_out: int, seed: int) -> Self:
        """Split rows.

        Args:
            data: the rows, with the task.
            choosing: rows to choose on, at most a third of all.
            held_out: rows to hold out, at most a third of all.
            seed: seed of the split.

        Returns:
            The parts.

        Raises:
            ConfigError: there are too few rows.
            DataError: a row cannot be read, or a part would be empty.
        """
        if len(data) < _LEAST:
            raise ConfigError(
                f"there are {counted(len(data), 'row')}, and the three parts of a search for a prompt need at least "
                f"{_LEAST}"
            )
        third = len(data) // 3
        # Without groups, rows that ask the same stay in one part: the answer to one is the answer to the other.
        group = None if data.options.group else lambda row: canonical(plain(row.prompt))
        learning, chosen, held = data.split(
            validation=min(choosing, third), test=min(held_out, third), group_by=group, seed=seed
        )
        if len(learning) > _MOST_LEARNING:
            learning = learning.shuffle(seed).take(_MOST_LEARNING)
        return cls(learning, chosen, held, tuple(learning), tuple(chosen), tuple(held))
