"""The connection of a client that waits for an answer: end the work when it goes, send it events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send
from typing_extensions import override

from ftkit.server.errors import ApiError

__all__ = ["EventStream", "unless_disconnected"]

T = TypeVar("T")


class EventStream(StreamingResponse):
    """Server-sent events; closes ``stack`` when the answers are complete or the client disconnects."""

    def __init__(self, content: AsyncIterator[bytes], stack: AsyncExitStack, headers: dict[str, str]) -> None:
        headers = {"cache-control": "no-store", **headers}
        super().__init__(content, media_type="text/event-stream", headers=headers)
        self._stack = stack

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._stack:
            await super().__call__(scope, receive, send)


async def unless_disconnected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Await work, but cancel it if the client disconnects.

    Args:
        request: the HTTP request.
        work: the work.

    Returns:
        Its result.

    Raises:
        ApiError: 499 if the client disconnected.
    """
    task = asyncio.ensure_future(work)
    watcher = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({task, watcher}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ApiError(499, "The client disconnected.")
        return task.result()
    finally:
        watcher.cancel()
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
        # The trace of an error has this frame. With the task, which has the error, in it, the body of every refused
        # request would stay in memory until the next collection.
        del task, watcher


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
