"""Values as a report holds them: JSON that is read back equal, whatever a model wrote."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

__all__ = ["canonical", "plain"]


def plain(value: Any) -> Any:
    """``value`` as JSON values: lists for tuples, text for keys and for what JSON has no form of.

    Numbers that are not finite become text (``"inf"``), and halves of surrogate pairs become U+FFFD, because a UTF-8
    file can hold neither.
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
    """One text for equal JSON values: sorted keys, no spaces."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
