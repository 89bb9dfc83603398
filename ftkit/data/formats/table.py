"""``table``: columns that a task's template reads, one object or record a row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from ftkit.data.formats.base import Conversation, Format, RawRow
from ftkit.error_text import name_list
from ftkit.errors import ConfigError, DataError

__all__ = ["Table"]


class Table(Format):
    """The task makes the question from the columns; the answer, if any, is in the ``target`` column.

    The task's template says which columns a row needs, so a task that has one decides for this format.
    """

    name = "table"
    required = "the columns of the task's input template"
    answer_field = "the target column"
    has_answers = False
    is_detected = False

    @override
    def matches(self, columns: Mapping[str, Any]) -> bool:
        return False

    @override
    def read(self, row: RawRow) -> Conversation:
        for column in row.task.columns:
            if column not in row.columns:
                have = name_list(row.columns)
                raise DataError(f"the task reads this column, and the row has: {have}", place=row.place, field=column)
        try:
            return Conversation(list(row.task.prompt(row.columns)))
        except ConfigError as error:
            raise DataError(str(error), place=row.place) from error
