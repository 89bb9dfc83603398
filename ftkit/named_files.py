"""Read files that a user names: what is there may be a pipe, a device, or far larger than such a file ever is."""

from __future__ import annotations

import errno
import os
import select
import stat

__all__ = ["irregular_file_kind", "read_small_bytes", "read_small_text"]

_SMALL = 16 * 1024 * 1024
_PIECE = 1024 * 1024
_PIPE_PATIENCE_S = 5.0
"""How long to wait for somebody who writes into a named pipe."""

_IRREGULAR = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


def irregular_file_kind(path: str | os.PathLike[str]) -> str | None:
    """Say what a path is if it is no regular file. A read of a pipe or a device may never end.

    Args:
        path: the path; of a link, what it points to counts.

    Returns:
        For example ``"a pipe"``; None for a regular file.

    Raises:
        OSError: there is nothing at the path, or it cannot be looked at.
    """
    mode = os.stat(path).st_mode
    return next((kind for test, kind in _IRREGULAR if test(mode)), None)


def read_small_text(path: str | os.PathLike[str], *, limit: int = _SMALL) -> str:
    """Read a file that a person writes or saves, such as a task, a recipe or a report. It may be a pipe.

    Args:
        path: the file, in UTF-8.
        limit: bytes of the largest file that is read.

    Returns:
        The text, without a byte-order mark.

    Raises:
        OSError: the file cannot be read; it is larger than ``limit``, as a device without an end is; or it is a
            named pipe into which nobody writes.
        UnicodeDecodeError: it is not UTF-8.
    """
    return read_small_bytes(path, limit=limit).decode("utf-8-sig")


def read_small_bytes(path: str | os.PathLike[str], *, limit: int = _SMALL) -> bytes:
    """Read a file that a person writes or saves. It may be a pipe.

    Args:
        path: the file.
        limit: bytes of the largest file that is read.

    Returns:
        The bytes.

    Raises:
        OSError: see :func:`read_small_text`.
    """
    content = bytearray()
    with open(_opened(path), "rb", buffering=0) as file:
        while piece := file.read(_PIECE):
            content += piece
            if len(content) > limit:
                size = f"{limit >> 20} MiB" if limit >= 1 << 20 else f"{limit:,} bytes"
                raise OSError(errno.EFBIG, f"it is larger than {size}", os.fspath(path))
    return bytes(content)


def _opened(path: str | os.PathLike[str]) -> int:
    """Open a file. Opening a named pipe would wait for a writer for ever."""
    named_pipe = os.name == "posix" and stat.S_ISFIFO(os.stat(path).st_mode) and os.path.exists(os.path.realpath(path))
    if not named_pipe:
        return os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    if not select.select([handle], [], [], _PIPE_PATIENCE_S)[0]:
        os.close(handle)
        raise OSError(errno.EAGAIN, "it is a pipe into which nobody writes", os.fspath(path))
    os.set_blocking(handle, True)
    return handle
