"""``table``: columns that a task's template reads, one object or record a row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ftkit.data.formats.base import Conversation, RawRow
from ftkit.errors import ConfigError, DataError
from ftkit.task import Task

__all__ = ["Table"]


class Table:
    """The task makes the question from the columns; the answer, if any, is the ``target`` column's."""

    name: ClassVar[str] = "table"
    needs: ClassVar[str] = "the columns of the task's input template"
    answer: ClassVar[str] = "the target column"
    rejected: ClassVar[str | None] = None
    answered: ClassVar[bool] = False

    def __init__(self, task: Task) -> None:
        self._task = task
        self.reads = task.columns

    def recognises(self, columns: Mapping[str, Any]) -> bool:
        return self._task.input is not None and all(name in columns for name in self.reads)

    def conversation(self, row: RawRow) -> Conversation:
        for column in self.reads:
            if column not in row.columns:
                have = ", ".join(row.columns) or "none"
                raise DataError(f"the task reads this column, and the row has: {have}", place=row.place, field=column)
        try:
            return Conversation(list(self._task.prompt(row.columns)))
        except ConfigError as error:
            raise DataError(str(error), place=row.place) from error
