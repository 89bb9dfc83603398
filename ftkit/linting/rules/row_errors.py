"""Rules on what reading a row has told already."""

from __future__ import annotations

from collections.abc import Iterator

from ftkit.errors import DataProblem
from ftkit.linting.context import Setting
from ftkit.linting.finding import Found
from ftkit.linting.row_view import Seen
from ftkit.linting.rule import RowRule

__all__ = ["FaultyRow"]


class FaultyRow(RowRule):
    """A row that is read but breaks a rule of conversations, as :class:`~ftkit.errors.DataError` tells it."""

    severity = "error"
    problems: tuple[DataProblem, ...] = ()

    def check(self, seen: Seen, setting: Setting) -> Iterator[Found]:
        error = seen.error
        if error is not None and error.problem in self.problems:
            yield Found(error.message, error.field)
