"""What a format is: how it knows a row, and how it makes a conversation of one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from ftkit.data.strict_json import parse
from ftkit.errors import DataError, Place
from ftkit.task import Message

__all__ = ["Conversation", "Format", "RawRow", "list_of", "margin_of", "switch_of", "text_of"]


@dataclass(frozen=True, slots=True)
class RawRow:
    """A row before it has a meaning."""

    columns: Mapping[str, Any]
    """As read, and once more under the names that ``columns=`` gives them."""
    place: Place
    nulls_are_absent: bool
    """The file's kind writes null for keys a row does not have; see :class:`ftkit.data.sources.Source`."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """All turns of a row, in OpenAI's shape; the answer is the last one when it is the assistant's.

    Of a preference the answer is the better one; ``rejected`` is the other, and ``margin`` by how much it is worse.
    """

    messages: list[Message]
    tools: list[dict[str, Any]] | None = None
    parallel_tool_calls: bool | None = None
    rejected: Message | None = None
    margin: float | None = None


class Format(Protocol):
    """One way to write rows. Formats stand in one list, :data:`ftkit.data.formats.FORMATS`."""

    name: ClassVar[str]
    needs: ClassVar[str]
    """The columns that make a row one of this format, in words for messages."""
    answer: ClassVar[str]
    """Where the wanted answer stands, in words for messages."""
    rejected: ClassVar[str | None]
    """Where the worse answer stands; None for a format of demonstrations."""
    answered: ClassVar[bool]
    """Whether its rows bring a wanted answer with them; without one they are prompts, unless ``target=`` names it."""

    @property
    def reads(self) -> tuple[str, ...]:
        """Every column that the format looks at."""

    def recognises(self, columns: Mapping[str, Any]) -> bool:
        """Whether a row with these columns can be one of this format."""

    def conversation(self, row: RawRow) -> Conversation:
        """The turns of ``row``.

        Raises:
            DataError: the row breaks the format; names the field.
        """


def text_of(row: RawRow, column: str) -> str:
    """The text in ``column``.

    Raises:
        DataError: it is missing or no text.
    """
    value = row.columns.get(column)
    if not isinstance(value, str):
        what = "missing" if value is None else f"must be a text, this is a {type(value).__name__}"
        raise DataError(what, place=row.place, field=column)
    return value


def list_of(row: RawRow, column: str) -> list[Any]:
    """The list in ``column``; a text there is read as JSON, as table files have no other way to hold one."""
    value = row.columns.get(column)
    if isinstance(value, str):
        value = parse(value, row.place, column)
    if not isinstance(value, list):
        what = "missing" if value is None else f"must be a list, this is a {type(value).__name__}"
        raise DataError(what, place=row.place, field=column)
    return value


def margin_of(value: Any, place: Place, field: str) -> float | None:
    """By how much the chosen answer is better, a finite number; a text is read as one, as CSV files hold only texts.

    None and an empty text are no margin.

    Raises:
        DataError: it is anything else.
    """
    if isinstance(value, str):
        value = parse(value, place, field) if value.strip() else None
    if value is None:
        return None
    try:
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
    except OverflowError:  # a whole number beyond all floats
        pass
    raise DataError(f"must be a finite number, this is {value!r:.60}", place=place, field=field)


def switch_of(row: RawRow, column: str) -> bool | None:
    """True or false; None when the row does not say.

    Raises:
        DataError: it is anything else.
    """
    value = row.columns.get(column)
    if value is not None and not isinstance(value, bool):
        raise DataError("must be true or false", place=row.place, field=column)
    return value
