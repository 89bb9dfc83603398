"""Timeouts for slow clients, and small pieces for those that send many small chunks.

Each slow client holds a connection, and enough of them hold them all. uvicorn limits only the silence between two
requests (``timeout_keep_alive``), so the timeouts of a request's headers and of its body are here.

A body with ``Transfer-Encoding: chunked`` may come in chunks of one byte. Reading what the system hands over at once
would then take half a second, so such bodies are read in pieces, and other requests come between them.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from typing_extensions import override
from uvicorn.protocols.http.h11_impl import H11Protocol

from ftkit.server.errors import ApiError

__all__ = ["BodyTimeoutMiddleware", "header_timeout_protocol"]

_BYTES_PER_SECOND = 16 * 1024
_PIECE_BYTES = 8 * 1024
"""Bytes of a chunked body, or of requests behind each other, that are read at a time."""


class BodyTimeoutMiddleware:
    """Refuse, with status 408, requests whose body arrives too slowly.

    A body may take ``timeout_s``, and one second more per 16 KiB. Only the time that the server waits for the client
    counts.

    Args:
        app: the application behind this middleware.
        timeout_s: seconds.
    """

    def __init__(self, app: ASGIApp, timeout_s: float) -> None:
        self._app, self._timeout_s = app, timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, limiting the time for its body."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        received, waited_s, complete = 0, 0.0, False

        async def receive_in_time() -> Message:
            nonlocal received, waited_s, complete
            if complete:  # the next message is the client's disconnect, which may take any time
                return await receive()
            started = time.monotonic()
            remaining_s = self._timeout_s + received / _BYTES_PER_SECOND - waited_s
            try:
                message = await asyncio.wait_for(receive(), max(remaining_s, 0.0))
            except TimeoutError:
                raise ApiError(
                    408, "The request's body arrived too slowly.", code="too_slow", headers={"connection": "close"}
                ) from None
            waited_s += time.monotonic() - started
            received += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            return message

        await self._app(scope, receive_in_time, send)


def header_timeout_protocol(timeout_s: float) -> type[asyncio.Protocol]:
    """Return uvicorn's HTTP/1.1 protocol with a timeout for a request's headers, which reads in small pieces.

    Args:
        timeout_s: seconds from the first byte of a request (or from the connection's start) to the end of its headers.
            The connection is closed after that.

    Returns:
        A class for ``uvicorn.Config(http=…)``.
    """

    class HeaderTimeoutProtocol(H11Protocol):
        _timer: asyncio.TimerHandle | None = None
        _unread = b""
        _holding = False

        @override
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._start_timer()

        @override
        def data_received(self, data: bytes) -> None:
            waiting = bool(self._unread)
            self._unread += data
            if waiting:  # uvicorn has resumed reading meanwhile
                self.transport.pause_reading()
            else:
                self._read_on()

        def _read_on(self) -> None:
            """Read a piece of what has come, and leave the next one to the next turn of the event loop."""
            if self.transport.is_closing():
                self._unread = b""
            size = len(self._unread) if self._has_length() else _PIECE_BYTES
            piece, self._unread = self._unread[:size], self._unread[size:]
            if piece:
                self._read(piece)
            if self._unread:
                self._holding = True
                self.transport.pause_reading()
                self.loop.call_soon(self._read_on)
            elif self._holding:
                self._holding = False
                if not self.flow.read_paused:
                    self.transport.resume_reading()

        def _has_length(self) -> bool:
            """Whether a body of known length is being read. It is one event, however large it is."""
            if self.cycle is None or self.cycle.response_complete:
                return False
            return any(name == b"content-length" for name, _ in self.headers)

        def _read(self, data: bytes) -> None:
            previous = self.cycle
            super().data_received(data)
            if self.cycle is not previous:
                self._stop_timer()
            elif self._timer is None and (self.cycle is None or self.cycle.response_complete):
                self._start_timer()  # the headers of a later request have begun

        @override
        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_timer()
            self._unread = b""
            super().connection_lost(exc)

        def _start_timer(self) -> None:
            self._timer = self.loop.call_later(timeout_s, self.transport.close)

        def _stop_timer(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    return HeaderTimeoutProtocol
