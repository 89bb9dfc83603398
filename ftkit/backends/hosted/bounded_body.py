"""Bound the bodies of a host's responses, in bytes and in time.

A read timeout limits only the silence between two pieces of a body. A host, or a proxy before it, may send pieces
without end, or one byte a minute, or a compressed body that becomes a thousand times as large. And JSON of few bytes a
value takes twenty times its size in memory.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar
from typing import Any

__all__ = ["PLAIN_HEADERS", "BodyLimitError", "bound_body", "to_file"]

PLAIN_HEADERS = {"accept-encoding": "identity"}
"""Headers that ask for bodies as they are, whose size can be known."""

_MAX_BYTES = 256 * 2**20
_MAX_COMPRESSED_BYTES = 2**20
"""Most bytes of a compressed body. Deflate makes at most 1,032 bytes of one."""
_DEFLATE = ("gzip", "x-gzip", "deflate")
"""Encodings whose growth is bounded. Others, and several one after the other, make gigabytes of a few bytes."""
_MAX_SECONDS = 600.0
_MAX_VALUES = 32_000_000
"""Most values of a body, if it is JSON. The vectors of 2,048 texts have six million numbers."""
_BEFORE_VALUES = (b",", b"[", b"{")

_to_file: ContextVar[bool] = ContextVar("ftkit_body_to_file", default=False)


class BodyLimitError(Exception):
    """The body of a response is larger, or comes more slowly, than ftkit waits for."""


@contextlib.contextmanager
def to_file() -> Iterator[None]:
    """Let bodies inside of the block be of any size, because they go to a file.

    Yields:
        Nothing.
    """
    token = _to_file.set(True)
    try:
        yield
    finally:
        _to_file.reset(token)


def bound_body(response: Any) -> None:
    """Bound the body of a response that has not been read yet. A response hook of ``httpx``.

    Args:
        response: the response, of ``httpx`` or of the copy of it that OpenAI's SDK brings.
    """
    if _to_file.get() and response.is_success:
        return
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    compressed = encoding not in ("", "identity")
    stream = response.stream
    kind = next((one for one in type(stream).__mro__ if one.__name__ in ("SyncByteStream", "AsyncByteStream")), None)
    if kind is not None:
        refused = encoding if compressed and encoding not in _DEFLATE else None
        response.stream = _bounded(kind)(stream, _MAX_COMPRESSED_BYTES if compressed else _MAX_BYTES, refused)


@functools.cache
def _bounded(kind: type[Any]) -> type[Any]:
    """A stream of the library that ``kind`` belongs to, around another one."""

    class Bounded(kind):  # type: ignore[misc]
        def __init__(self, stream: Any, max_bytes: int, refused: str | None) -> None:
            self._stream, self._refused = stream, refused
            self._left, self._max_bytes = max_bytes, max_bytes
            self._end = time.monotonic() + _MAX_SECONDS
            self._values = 0

        def _check(self, piece: bytes) -> bytes:
            if self._refused is not None:
                raise BodyLimitError(f"it is compressed as {self._refused[:40]!r}, which was not asked for")
            self._left -= len(piece)
            if self._left < 0:
                raise BodyLimitError(f"it is larger than {self._max_bytes:,} bytes")
            self._values += sum(map(piece.count, _BEFORE_VALUES))
            if self._values > _MAX_VALUES:
                raise BodyLimitError(f"it has more than {_MAX_VALUES:,} values")
            if time.monotonic() > self._end:
                raise BodyLimitError(f"it is not complete after {_MAX_SECONDS:.0f} s")
            return piece

        def __iter__(self) -> Iterator[bytes]:
            for piece in self._stream:
                yield self._check(piece)

        async def __aiter__(self) -> AsyncIterator[bytes]:
            async for piece in self._stream:
                yield self._check(piece)

        def close(self) -> None:
            self._stream.close()

        async def aclose(self) -> None:
            await self._stream.aclose()

    return Bounded
