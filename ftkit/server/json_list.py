"""Lists as responses, written in pieces: they may be tens of megabytes, and other requests come between the pieces."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from starlette.responses import Response

__all__ = ["list_response"]

_PIECE = 8
"""Objects that are written at a time. A job with a large grader has half a megabyte."""


async def list_response(data: Sequence[dict[str, Any]], **fields: Any) -> Response:
    """Write a list object of OpenAI's API.

    Args:
        data: the objects.
        **fields: further fields of the list, e.g. ``has_more``.

    Returns:
        The response.
    """
    pieces = []
    for start in range(0, len(data), _PIECE):
        pieces.append(_dumps(data[start : start + _PIECE])[1:-1])
        await asyncio.sleep(0)
    head = _dumps({"object": "list", **fields})[:-1]
    return Response(f'{head},"data":[{",".join(pieces)}]}}'.encode(), media_type="application/json")


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
