"""Values that JSON cannot hold, in columns that nothing may read: NaN, bytes, durations."""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Any

from ftkit.errors import DataError, Place
from ftkit.schema.json_values import is_nested_deeper, to_exact_json

__all__ = ["UnusableValue", "column_json", "decode_columns", "encode_columns", "require_columns"]

_KEY = "\0unusable"
"""Key of ftkit's own row files that holds the unusable columns of a row; no other program writes it."""


class UnusableValue:
    """What stands for a column whose value JSON cannot hold.

    A row with such a column can be used as long as nothing reads the column. It is not a text or a number, so that
    no code takes it for the value.

    Attributes:
        problem: what is wrong, as in a :class:`~ftkit.errors.DataError`.
        field: the column, with the path inside it.
        content: a text that is equal for equal values.
    """

    __slots__ = ("content", "field", "problem")

    def __init__(self, problem: str, field: str, content: str) -> None:
        self.problem = problem
        self.field = field
        self.content = content

    def __repr__(self) -> str:
        return f"<{self.field}: {self.problem}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UnusableValue) and self.content == other.content

    def __hash__(self) -> int:
        return hash(self.content)

    def error(self, place: Place) -> DataError:
        """Make the error of a row whose column is read.

        Args:
            place: of the row.

        Returns:
            The error, which names the column.
        """
        return DataError(self.problem, place=place, field=self.field)


def column_json(value: Any, place: Place, name: str) -> Any:
    """Convert the value of a column to JSON data without loss, or to what stands for a value that JSON cannot hold.

    Args:
        value: the value.
        place: of the row, for errors.
        name: of the column.

    Returns:
        The JSON data, or an :class:`UnusableValue`: NaN and infinities, bytes, durations, decimals that no float
        equals, and what contains one of them.

    Raises:
        DataError: the value is of another class that JSON cannot hold, or nested too deeply.
    """
    if isinstance(value, UnusableValue):
        return value
    try:
        return to_exact_json(value, place, name)
    except DataError as error:
        if is_nested_deeper(value):
            raise
        try:
            content = json.dumps(_content(value), ensure_ascii=True, sort_keys=True)
        except (TypeError, ValueError, RecursionError):  # another class, of which nothing is known
            raise error from None
        digest = hashlib.blake2b(content.encode(), digest_size=16).hexdigest()
        return UnusableValue(error.message, error.field or name, digest)


def _content(value: Any) -> Any:
    """Data that is equal for equal values."""
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise TypeError("a key is no text")
        return {key: _content(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_content(item) for item in value]
    if isinstance(value, bytes | bytearray | memoryview):
        return {"bytes": hashlib.sha256(value).hexdigest()}
    if type(value).__module__ == "numpy":
        return _content(value.tolist())
    # Classes of pandas beside these: Timedelta is one, NaT and NA are not.
    if isinstance(value, float | Decimal | datetime.timedelta) or type(value).__module__.startswith("pandas."):
        return {"value": str(value)}
    return to_exact_json(value, Place("", 0), "")


def encode_columns(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a row as JSON data for one of ftkit's own row files.

    Args:
        columns: JSON data and unusable values.

    Returns:
        The JSON data. :func:`decode_columns` reads it.
    """
    unusable = {
        name: [value.problem, value.field, value.content]
        for name, value in columns.items()
        if isinstance(value, UnusableValue)
    }
    if not unusable:
        return dict(columns)
    # Their names keep their place among the columns.
    usable = {name: None if name in unusable else value for name, value in columns.items()}
    return {**usable, _KEY: unusable}


def decode_columns(columns: dict[str, Any]) -> dict[str, Any]:
    """Return the columns of a row that :func:`encode_columns` has encoded.

    Args:
        columns: a row of a JSON Lines file, of ftkit's own or of any other program.

    Returns:
        The columns.
    """
    unusable = columns.get(_KEY)
    if not isinstance(unusable, dict):
        return columns
    found = {name: value for name, value in columns.items() if name != _KEY}
    return {**found, **{name: UnusableValue(*parts) for name, parts in unusable.items()}}


def require_columns(columns: Mapping[str, Any], names: Collection[str], place: Place) -> None:
    """Refuse a row if JSON cannot hold a column that is read or written.

    Args:
        columns: the row's columns.
        names: the columns that are read or written.
        place: of the row.

    Raises:
        DataError: a column of these is unusable; names it.
    """
    for name, value in columns.items():
        if isinstance(value, UnusableValue) and name in names:
            raise value.error(place)
