"""The base class of dataset formats, and helpers that read one column."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ftkit.data.formats.nulls import drop_nulls
from ftkit.data.row import Row
from ftkit.data.strict_json import parse_json
from ftkit.errors import ConfigError, DataError, Place
from ftkit.task import Message, Task

__all__ = ["Conversation", "Format", "RawRow", "read_boolean", "read_list", "read_margin", "read_text"]


@dataclass(frozen=True, slots=True)
class RawRow:
    """The columns of a row, before a format gives them a meaning."""

    columns: Mapping[str, Any]
    """As read from the file, some of them also under the names that ``columns=`` gives them."""
    place: Place
    nulls_are_absent: bool
    """The file writes null for keys that a row does not have; see :class:`ftkit.data.sources.Source`."""
    task: Task
    """The dataset's task. Most formats ignore it."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """All turns of a row, in OpenAI's form. If the last one is the assistant's, it is the answer. Or plain text.

    Attributes:
        messages: the turns. Of a preference, the last one is the better answer.
        tools: the functions that the model may call.
        parallel_tool_calls: whether one turn may call several functions; None if the row does not say.
        rejected: the worse answer of a preference.
        margin: by how much it is worse.
        text: a plain text, of rows that have no turns.
    """

    messages: list[Message]
    tools: list[dict[str, Any]] | None = None
    parallel_tool_calls: bool | None = None
    rejected: Message | None = None
    margin: float | None = None
    text: str | None = None


class Format(ABC):
    """One way to write rows. A new one is one class, registered in :data:`ftkit.data.formats.FORMATS`.

    A package registers its own under the entry-point group ``ftkit.formats``.
    """

    name: ClassVar[str]
    """What users write: ``format="openai"``."""
    columns: ClassVar[tuple[str, ...]] = ()
    """Every column that the format reads."""
    required: ClassVar[str]
    """The columns that a row of this format has, in words for messages."""
    answer_field: ClassVar[str]
    """Where the wanted answer is, in words for messages."""
    messages_field: ClassVar[str] = "messages"
    """The column with the list of messages, in words for messages."""
    rejected_field: ClassVar[str | None] = None
    """Where the worse answer is; None unless the rows are preferences."""
    label_field: ClassVar[str | None] = None
    """The column that says whether the answer is a good one; None unless every row has to have it."""
    holds_texts: ClassVar[bool] = False
    """Whether each row is a plain text, which is no conversation."""
    has_answers: ClassVar[bool] = True
    """Whether the rows have a wanted answer. Without one they are prompts, unless ``target=`` names its column."""
    is_detected: ClassVar[bool] = True
    """Whether ``format="auto"`` considers it. False: users have to name it."""
    prompts_format: ClassVar[str | None] = None
    """The format that ``format="auto"`` chooses instead where it matches every row, because none has an answer."""

    @abstractmethod
    def matches(self, columns: Mapping[str, Any]) -> bool:
        """Whether a row may be of this format.

        Args:
            columns: the row's columns.

        Returns:
            Whether the columns that the format requires are there. What is in them is checked by :meth:`read`.
        """

    @abstractmethod
    def read(self, row: RawRow) -> Conversation:
        """Make a conversation of a row.

        Args:
            row: the row; every row of a file is given, also one that the format does not match.

        Returns:
            The turns in OpenAI's form, with their tools.

        Raises:
            DataError: the row breaks the format; names the place and the field.
        """

    def write(self, row: Row) -> dict[str, Any]:
        """Make a line of this format from a row. By default, rows cannot be written in a format.

        Args:
            row: the row, read from any format.

        Returns:
            The columns of the line.

        Raises:
            DataError: the format cannot express the row; names the place and the field.
            ConfigError: the format cannot be written.
        """
        raise ConfigError(f"rows cannot be written as {self.name}; ftkit only reads this format.")


def read_text(row: RawRow, column: str) -> str:
    """Return the text in a column.

    Args:
        row: the row.
        column: the column's name.

    Returns:
        The text.

    Raises:
        DataError: the column is missing, or holds another type.
    """
    value = row.columns.get(column)
    if not isinstance(value, str):
        problem = "missing" if value is None else f"must be a text, this is a {type(value).__name__}"
        raise DataError(problem, place=row.place, field=column)
    return value


def read_list(row: RawRow, column: str) -> list[Any]:
    """Return the list in a column. A text is parsed as JSON, because CSV files hold only texts.

    Where the file writes null for absent keys, null entries of objects are dropped, except inside a text.

    Args:
        row: the row.
        column: the column's name.

    Returns:
        The list.

    Raises:
        DataError: the column is missing, or holds another type.
    """
    value = row.columns.get(column)
    if isinstance(value, str):
        value = parse_json(value, row.place, column)
    elif row.nulls_are_absent:
        value = drop_nulls(value)
    if not isinstance(value, list):
        problem = "missing" if value is None else f"must be a list, this is a {type(value).__name__}"
        raise DataError(problem, place=row.place, field=column)
    return value


def read_margin(value: Any, place: Place, field: str) -> float | None:
    """Return by how much the chosen answer is better. A text is parsed as JSON, because CSV files hold only texts.

    Args:
        value: the value of the margin column.
        place: of the row.
        field: name of the column.

    Returns:
        A finite number; None if the value is None or an empty text.

    Raises:
        DataError: the value is anything else.
    """
    if isinstance(value, str):
        value = parse_json(value, place, field) if value.strip() else None
    if value is None:
        return None
    try:
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
    except OverflowError:  # a whole number beyond all floats
        pass
    raise DataError(f"must be a finite number, this is {value!r:.60}", place=place, field=field)


def read_boolean(row: RawRow, column: str) -> bool | None:
    """Return the boolean in a column.

    Args:
        row: the row.
        column: the column's name.

    Returns:
        The boolean, also from the texts true and false of CSV files; None if the column is missing, null or empty.

    Raises:
        DataError: the column holds another type.
    """
    value = row.columns.get(column)
    if isinstance(value, str):
        value = {"true": True, "false": False, "": None}.get(value.strip().lower(), value)
    if value is not None and not isinstance(value, bool):
        raise DataError("must be true or false", place=row.place, field=column)
    return value
