"""Write what a host sends to a file, which may be large but not endless."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from ftkit.backends.hosted.bounded_body import BodyLimitError
from ftkit.errors import StorageError
from ftkit.files import free_bytes, says_disk_full

__all__ = ["content_length", "write_pieces"]

_KEPT_FREE = 64 * 2**20
"""Bytes of the disk that are left to the other programs."""
_LOOK_EVERY = 64 * 2**20
"""Bytes after which the free space is read again, because others write, too."""
_MAX_SECONDS = 24 * 3600.0
_PATIENCE_S = 600.0
_SLOWEST = 4 * 1024
"""Bytes a second on average, once the patience is over. A read timeout limits only the silence between two pieces."""


def write_pieces(pieces: Iterable[bytes], target: Path, size: int | None = None) -> None:
    """Write pieces to a new file as they come.

    Args:
        pieces: the content.
        target: the file.
        size: bytes of the content, if they are known before.

    Raises:
        BodyLimitError: it comes more slowly than anybody can wait for.
        StorageError: the disk has no room for it.
        OSError: the file cannot be written for another reason.
    """
    begun, written, room = time.monotonic(), 0, free_bytes(target.parent)
    _check_room(room, size or 0, target)
    looked = 0
    with target.open("wb") as file:
        for piece in pieces:
            if written + len(piece) - looked > _LOOK_EVERY:
                room, looked = free_bytes(target.parent), written
            _check_room(room, written + len(piece) - looked, target)
            try:
                file.write(piece)
            except OSError as error:
                if not says_disk_full(error):
                    raise
                raise StorageError(f"the disk of {target.parent} is full", full=True) from None
            written += len(piece)
            seconds = time.monotonic() - begun
            if seconds > _MAX_SECONDS or (seconds > _PATIENCE_S and written < _SLOWEST * seconds):
                raise BodyLimitError(f"{written:,} bytes came in {seconds:,.0f} s, which is too slow")


def _check_room(room: int | None, more: int, target: Path) -> None:
    if room is not None and more > room - _KEPT_FREE:
        raise StorageError(
            f"the disk of {target.parent} has no room for {target.name}: {room / 2**20:,.0f} MiB are free, of which "
            f"{_KEPT_FREE // 2**20} MiB stay free for other programs",
            full=True,
        )


def content_length(headers: Mapping[str, str]) -> int | None:
    """Read the size of a body before it comes.

    Args:
        headers: the headers of the response.

    Returns:
        Bytes; None if the host does not say.
    """
    length = headers.get("content-length", "")
    return int(length) if length.isascii() and length.isdigit() and len(length) < 20 else None
