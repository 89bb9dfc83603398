"""Parse JSON that clients send, within limits."""

from __future__ import annotations

from typing import Any

from ftkit.data import strict_json
from ftkit.errors import DataError, Place

__all__ = ["parse_object"]

_MAX_DEPTH = 256
_MAX_VALUES = 100_000
"""Most values in a body. Longer lists belong into files."""


def parse_object(raw: bytes) -> dict[str, Any]:
    """Parse a JSON object.

    Args:
        raw: the body of a request.

    Returns:
        The object.

    Raises:
        DataError: it is not a JSON object, is nested too deep, or has too many values.
    """
    place = Place("body", 1)
    value = strict_json.parse_json(strict_json.decode_utf8(raw, place, 0), place)
    if not isinstance(value, dict):
        raise DataError("the body must be a JSON object")
    _check_size(value)
    return value


def _check_size(value: dict[str, Any]) -> None:
    level: list[Any] = [value]
    count = 0
    for _ in range(_MAX_DEPTH):
        inside: list[Any] = []
        for container in level:
            inside += container.values() if isinstance(container, dict) else container
            if count + len(inside) > _MAX_VALUES:
                raise DataError(f"it has more than {_MAX_VALUES:,} values; upload rows as files")
        count += len(inside)
        level = [part for part in inside if isinstance(part, dict | list)]
        if not level:
            return
    raise DataError(f"it is nested more than {_MAX_DEPTH} levels deep")
