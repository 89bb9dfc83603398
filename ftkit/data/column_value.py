"""The values of a row's columns, and keys inside them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from ftkit.data.strict_json import canonical_json
from ftkit.error_text import name_list
from ftkit.errors import DataError, Place

__all__ = ["column_value", "equality_key", "find_column_value", "form_key"]


def find_column_value(columns: Mapping[str, Any], path: str) -> Any:
    """Return the value of a column, or of a key inside one.

    Args:
        columns: a row's columns.
        path: ``"patient"``, or ``"patient.id"``.

    Returns:
        The value.

    Raises:
        KeyError: there is none.
    """
    if path in columns:
        return columns[path]
    value: Any = columns
    for key in path.split("."):
        if not isinstance(value, Mapping) or key not in value:
            raise KeyError(path)
        value = value[key]
    return value


def column_value(columns: Mapping[str, Any], path: str, place: Place) -> Any:
    """Return the value of a column, or of a key inside one.

    Args:
        columns: a row's columns.
        path: ``"patient"``, or ``"patient.id"``.
        place: of the row.

    Returns:
        The value.

    Raises:
        DataError: there is none; says where, and which columns there are.
    """
    try:
        return find_column_value(columns, path)
    except KeyError:
        have = name_list(columns)
        raise DataError(f"missing; the row has the columns {have}", place=place, field=path) from None


def equality_key(value: Any) -> str:
    """Return a text that is equal for equal values.

    Args:
        value: a JSON value.

    Returns:
        A text as it is, everything else as canonical JSON.
    """
    return value if isinstance(value, str) else canonical_json(value)


def form_key(value: Any) -> str:
    """Return the key of an answer among the canonical answers of :class:`ftkit.data.row_reader.RowReader`.

    Args:
        value: the answer as the file has it.

    Returns:
        32 hex digits, equal for equal JSON.
    """
    return hashlib.blake2b(canonical_json(value).encode(), digest_size=16).hexdigest()
