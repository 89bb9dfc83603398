"""Python values as JSON data: as pydantic writes them, or exactly."""

from __future__ import annotations

import datetime
import enum
import math
import uuid
from collections.abc import Mapping
from dataclasses import is_dataclass
from decimal import Decimal
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError

from ftkit.errors import DataError, OutputError, Place
from ftkit.schema.json_path import json_path
from ftkit.schema.json_text import MAX_DEPTH
from ftkit.schema.object_json import object_json, sorted_items

__all__ = ["is_nested_deeper", "to_exact_json", "to_json"]


def to_json(value: Any) -> Any:
    """Convert a Python value to JSON data, as pydantic writes JSON that it can read again.

    Pydantic objects by their own serialisers, with the keys from which they are validated; dataclasses as dicts, dates
    in ISO 8601, enums by value, ``Decimal`` and ``UUID`` as strings, tuples as lists, sets as sorted lists.

    Args:
        value: the value.

    Returns:
        Dicts, lists, strings, numbers, booleans and None.

    Raises:
        OutputError: ``wrong_type`` for what JSON cannot hold, ``invalid_value`` for NaN and infinities.
    """
    try:
        converted = object_json(value)
    except (PydanticSerializationError, ValueError, TypeError, RecursionError) as error:
        raise OutputError(f"cannot be written as JSON: {error}", problem="wrong_type") from error
    _check_depth_and_numbers(converted, ())
    return converted


def _check_depth_and_numbers(value: Any, path: tuple[str | int, ...]) -> None:
    if len(path) > MAX_DEPTH:
        raise OutputError(f"nested more than {MAX_DEPTH} deep", problem="invalid_value")
    if isinstance(value, float) and not math.isfinite(value):
        raise OutputError(f"{value} is not a JSON number", problem="invalid_value", path=json_path(path))
    if isinstance(value, dict):
        for key, item in value.items():
            _check_depth_and_numbers(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _check_depth_and_numbers(item, (*path, index))


def is_nested_deeper(value: Any, limit: int = MAX_DEPTH) -> bool:
    """Say whether a value is nested deeper than a limit. A loop, because recursion could overflow.

    Args:
        value: the value; it may contain itself.
        limit: levels of mappings, lists and tuples that are allowed.

    Returns:
        Whether it is.
    """
    pending: list[tuple[Any, int]] = [(value, 0)]
    while pending:
        container, depth = pending.pop()
        if not isinstance(container, Mapping | list | tuple):
            continue
        if depth == limit:
            return True
        pending += [(item, depth + 1) for item in (container.values() if isinstance(container, Mapping) else container)]
    return False


def to_exact_json(value: Any, place: Place, field: str) -> Any:
    """Convert a value of a row to JSON data without loss.

    Dates and times become ISO 8601 texts, tuples lists, sets sorted lists, pydantic objects, dataclasses and enums
    their JSON form, numpy numbers and arrays Python's. A ``Decimal`` becomes a number, where :func:`to_json` writes a
    string.

    Args:
        value: the value of a column.
        place: of the row.
        field: name of the column.

    Returns:
        Dicts, lists, strings, numbers, booleans and None.

    Raises:
        DataError: there is no such form without loss: bytes, images, NaN, a decimal no float equals, unknown classes.
    """
    return _exact(value, place, field, 0)


def _exact(value: Any, place: Place, field: str, depth: int) -> Any:
    if value is None or isinstance(value, str | bool):
        return _text(value, place, field) if isinstance(value, str) else value
    if isinstance(value, enum.Enum):
        return _exact(value.value, place, field, depth)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise DataError(f"{value} is not JSON; use None, or leave the row out", place=place, field=field)
        return float(value)
    if isinstance(value, Mapping | list | tuple):
        if depth == MAX_DEPTH:
            raise DataError(f"nested too deeply: more than {MAX_DEPTH} levels", place=place, field=f"{field:.100}")
        below = depth + 1
        if not isinstance(value, Mapping):
            return [_exact(item, place, f"{field}[{number}]", below) for number, item in enumerate(value)]
        keyed = {_key(key, place, field): item for key, item in value.items()}
        return {key: _exact(item, place, f"{field}.{key}", below) for key, item in keyed.items()}
    if isinstance(value, set | frozenset):
        items = [_exact(item, place, f"{field}[{number}]", depth + 1) for number, item in enumerate(value)]
        return sorted_items(items)
    if isinstance(value, BaseModel) or (is_dataclass(value) and not isinstance(value, type)):
        try:
            written = object_json(value)
        except (PydanticSerializationError, ValueError, TypeError, RecursionError) as error:
            what = f"a {type(value).__qualname__} cannot be written as JSON: {error}"
            raise DataError(what, place=place, field=field) from error
        return _exact(written, place, field, depth)
    return _rare(value, place, field, depth)


def _key(key: Any, place: Place, field: str) -> str:
    if isinstance(key, enum.Enum) and not isinstance(key, str):
        key = key.value
    if isinstance(key, datetime.date | uuid.UUID):
        return key.isoformat() if isinstance(key, datetime.date) else str(key)
    if not isinstance(key, str):
        raise DataError(f"the key {key!r} is not a text", place=place, field=field)
    return _text(key.value if isinstance(key, enum.Enum) else key, place, field)


def _rare(value: Any, place: Place, field: str, depth: int) -> Any:
    if isinstance(value, datetime.date | datetime.time):  # datetime is a date
        if value != value:  # pandas' NaT
            raise DataError(f"{value} is not JSON; use None, or leave the row out", place=place, field=field)
        return value.isoformat()
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, Decimal):
        if value.is_finite() and value == value.to_integral_value():
            return int(value)
        if Decimal(repr(float(value))) == value:
            return float(value)
        raise DataError(f"no float equals the decimal {value}; make it a text", place=place, field=field)
    if type(value).__module__ == "numpy":
        return _exact(value.tolist(), place, field, depth)
    raise DataError(
        f"a value of type {type(value).__qualname__} has no form in JSON; make it a text, a number, a list or a dict",
        place=place,
        field=field,
    )


def _text(value: str, place: Place, field: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        half = f"\\u{ord(value[error.start]):04x}"
        raise DataError(f"{half} is half of a surrogate pair and no character", place=place, field=field) from None
    return str(value)
