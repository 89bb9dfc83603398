"""JSON values for reports, which load equal to what was saved, whatever a model wrote."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

__all__ = ["canonical", "plain"]


def plain(value: Any) -> Any:
    """Convert a value to JSON values.

    Tuples become lists, keys become text. Infinite numbers and NaN become text (``"inf"``), lone surrogates become
    U+FFFD: JSON in UTF-8 can hold neither. Other objects become their ``str``.

    Args:
        value: Any value.

    Returns:
        JSON values.
    """
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass").decode("utf-8", "replace") if _broken(value) else value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {plain(str(key)): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return plain(str(value))


def _broken(text: str) -> bool:
    return not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text)


def canonical(value: Any) -> str:
    """Write JSON in a canonical form: sorted keys, no spaces.

    Args:
        value: JSON values.

    Returns:
        JSON text; equal values give equal texts.
    """
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
