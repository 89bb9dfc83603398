"""Python values as plain JSON values."""

from __future__ import annotations

import math
from typing import Any

from pydantic_core import PydanticSerializationError, to_jsonable_python

from ftkit.errors import OutputError
from ftkit.schema.json_path import json_path
from ftkit.schema.json_text import MAX_DEPTH

__all__ = ["plain"]


def plain(value: Any) -> Any:
    """``value`` as dicts, lists, strings, numbers, booleans and None, as pydantic writes JSON.

    Pydantic objects by their own serialisers and aliases, dataclasses as dicts, dates in ISO 8601, enums by value,
    ``Decimal`` and ``UUID`` as strings, sets and tuples as lists.

    Raises:
        OutputError: ``wrong_type`` for what JSON cannot hold, ``invalid_value`` for NaN and infinities.
    """
    try:
        found = to_jsonable_python(value, by_alias=True)
    except (PydanticSerializationError, ValueError, TypeError, RecursionError) as error:
        raise OutputError(f"cannot be written as JSON: {error}", problem="wrong_type") from error
    _refuse_unwritable(found, ())
    return found


def _refuse_unwritable(value: Any, path: tuple[str | int, ...]) -> None:
    if len(path) > MAX_DEPTH:
        raise OutputError(f"nested more than {MAX_DEPTH} deep", problem="invalid_value")
    if isinstance(value, float) and not math.isfinite(value):
        raise OutputError(f"{value} is not a JSON number", problem="invalid_value", path=json_path(path))
    if isinstance(value, dict):
        for key, item in value.items():
            _refuse_unwritable(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _refuse_unwritable(item, (*path, index))
