"""Decompress the bodies of requests, within limits."""

from __future__ import annotations

import asyncio
import zlib

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ftkit.server.errors import ApiError, error_response

__all__ = ["CompressedBodyMiddleware"]

_PIECE_BYTES = 256 * 1024
_GZIP = 16 + zlib.MAX_WBITS


class CompressedBodyMiddleware:
    """Decompress bodies with ``Content-Encoding: gzip``, and refuse other encodings with status 415.

    The application gets the decompressed bytes in small pieces, so its limits on the size of a body hold for them: a
    small body that would become gigabytes is refused as soon as the limit is reached.

    Args:
        app: the application behind this middleware.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, with a plain body."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        encodings = ",".join(Headers(scope=scope).getlist("content-encoding")).strip().lower()
        if encodings in ("", "identity"):
            await self._app(scope, receive, send)
        elif encodings in ("gzip", "x-gzip"):
            # The length in the header is that of the compressed body.
            headers = [
                pair for pair in scope["headers"] if pair[0].lower() not in (b"content-encoding", b"content-length")
            ]
            await self._app({**scope, "headers": headers}, _Decompressed(receive), send)
        else:
            message = f"Unsupported content-encoding {encodings[:40]!r}; send the body as it is, or with gzip."
            error = ApiError(415, message, code="unsupported_content_encoding")
            await error_response(error)(scope, receive, send)


class _Decompressed:
    """A ``receive`` that returns the decompressed pieces of the body that another one returns."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._decoder = zlib.decompressobj(_GZIP)
        self._last = self._complete = False

    async def __call__(self) -> Message:
        """Return the next piece, or what follows the body."""
        while not self._complete:
            data = self._decoder.unconsumed_tail
            if not data and not self._last:
                message = await self._receive()
                if message["type"] != "http.request":
                    return message
                data, self._last = message.get("body", b""), not message.get("more_body", False)
            piece = self._decompress(data)
            if self._decoder.eof and self._decoder.unused_data:
                raise _malformed("something follows its end")
            if self._last and not self._decoder.unconsumed_tail:
                self._complete = self._decoder.eof
                if not piece and not self._complete:
                    raise _malformed("it ended too early")
            if piece or self._complete:
                await asyncio.sleep(0)  # other requests come between two pieces
                return {"type": "http.request", "body": piece, "more_body": not self._complete}
        return await self._receive()

    def _decompress(self, data: bytes) -> bytes:
        try:
            return self._decoder.decompress(data, _PIECE_BYTES)
        except zlib.error:
            raise _malformed("it is damaged") from None


def _malformed(what: str) -> ApiError:
    return ApiError(400, f"The gzip body is malformed: {what}.", code="invalid_gzip")
