"""Clients that send too slowly: each holds a connection, and enough of them would hold them all."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from ftkit.server.errors import ApiError

__all__ = ["BodyTimeoutMiddleware", "header_timeout_protocol"]

_BYTES_A_SECOND = 16 * 1024


class BodyTimeoutMiddleware:
    """Ends requests whose body comes more slowly than 16 KiB a second, after ``timeout_s`` of grace.

    Only the waiting for the client counts, not what the server does in between.
    """

    def __init__(self, app: ASGIApp, timeout_s: float) -> None:
        self._app, self._patience_s = app, timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        received, waited, whole = 0, 0.0, False

        async def paced() -> Message:
            nonlocal received, waited, whole
            if whole:  # what comes now is the client's going away, for which one may wait for ever
                return await receive()
            began = time.monotonic()
            left = self._patience_s + received / _BYTES_A_SECOND - waited
            try:
                message = await asyncio.wait_for(receive(), max(left, 0.0))
            except TimeoutError:
                raise ApiError(
                    408, "The request's body came too slowly.", code="too_slow", headers={"connection": "close"}
                ) from None
            waited += time.monotonic() - began
            received += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            return message

        await self._app(scope, paced, send)


def header_timeout_protocol(timeout_s: float) -> type[asyncio.Protocol]:
    """uvicorn's HTTP/1.1 protocol, which closes a connection whose next request's head is not whole in time.

    uvicorn itself gives up on a silent connection between two requests only.
    """

    class HeaderTimeoutProtocol(H11Protocol):
        _head: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._await_head()

        def data_received(self, data: bytes) -> None:
            before = self.cycle
            super().data_received(data)
            if self.cycle is not before:
                self._stop()
            elif self._head is None and (self.cycle is None or self.cycle.response_complete):
                self._await_head()  # the head of a later request has begun

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop()
            super().connection_lost(exc)

        def _await_head(self) -> None:
            self._head = self.loop.call_later(timeout_s, self.transport.close)

        def _stop(self) -> None:
            if self._head is not None:
                self._head.cancel()
                self._head = None

    return HeaderTimeoutProtocol
