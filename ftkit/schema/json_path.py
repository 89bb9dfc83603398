"""Paths inside a JSON value: ``$.items[2].price``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

__all__ = ["json_path"]

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*\Z")


def json_path(steps: Iterable[str | int]) -> str:
    """Write keys and indices as a path; keys are quoted where necessary: ``$["odd key"][0]``.

    Args:
        steps: keys and indices, from the root.

    Returns:
        The path.
    """
    path = "$"
    for step in steps:
        if isinstance(step, int):
            path += f"[{step}]"
        elif _PLAIN_KEY.match(step):
            path += f".{step}"
        else:
            path += f"[{json.dumps(step, ensure_ascii=False)}]"
    return path
