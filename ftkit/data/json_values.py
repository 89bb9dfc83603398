"""Python's values as JSON's: what iterables and Parquet files may hold besides text, numbers, lists and objects."""

from __future__ import annotations

import datetime
import enum
import math
import uuid
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from pydantic import BaseModel

from ftkit.errors import DataError, Place

__all__ = ["plain"]


def plain(value: Any, place: Place, field: str) -> Any:
    """``value`` as JSON can hold it.

    Dates and times become ISO 8601 texts, tuples lists, pydantic objects and enums their JSON form, numpy numbers and
    arrays Python's.

    Raises:
        DataError: there is no such form without loss: bytes, images, NaN, a decimal no float equals, unknown classes.
    """
    if value is None or isinstance(value, str | bool):
        return _text(value, place, field) if isinstance(value, str) else value
    if isinstance(value, enum.Enum):
        return plain(value.value, place, field)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise DataError(f"{value} is not JSON; use None, or leave the row out", place=place, field=field)
        return float(value)
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise DataError(f"the key {key!r} is not a text", place=place, field=field)
        return {_text(key, place, field): plain(item, place, f"{field}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, place, f"{field}[{number}]") for number, item in enumerate(value)]
    if isinstance(value, BaseModel):
        return plain(value.model_dump(mode="json"), place, field)
    return _rarer(value, place, field)


def _rarer(value: Any, place: Place, field: str) -> Any:
    if isinstance(value, datetime.date | datetime.time):  # datetime is a date
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
        return plain(value.tolist(), place, field)
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
