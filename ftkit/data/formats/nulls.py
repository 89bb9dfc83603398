"""Null entries of objects, which Arrow writes for keys that a row does not have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["drop_nulls"]


def drop_nulls(value: Any) -> Any:
    """Return a value without the null entries of its objects, at every depth.

    Args:
        value: JSON data.

    Returns:
        A copy. Texts are not parsed, so nulls in a JSON text stay, and so do nulls in lists.
    """
    if isinstance(value, Mapping):
        return {key: drop_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [drop_nulls(item) for item in value]
    return value
