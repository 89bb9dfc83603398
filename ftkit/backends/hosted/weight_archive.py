"""Unpack the archive of weights that a host sends, within bounds.

An archive is a program for whoever unpacks it: it may name files outside of the folder, links, devices and holes of any
size, hold a name of gigabytes, or expand to a thousand times its size.
"""

from __future__ import annotations

import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from typing_extensions import override

from ftkit.backends.hosted.body_file import write_pieces
from ftkit.backends.hosted.bounded_body import BodyLimitError
from ftkit.backends.hosted.weights import HostFiles
from ftkit.errors import HostError
from ftkit.extras import require

__all__ = ["unpack_weights"]

_MAX_MEMBERS = 10_000
_MAX_GROWTH = 50
"""How many times as large as the archive its files may be. Trained weights hardly shrink; zeros shrink a lot."""
_MIN_BYTES = 2**30
"""What an archive of any size may hold."""
_MAX_WINDOW_BYTES = 2**27
"""Memory of the decompressor, which the archive chooses. The command zstd needs an option for more, too."""
_MAX_HEADER_BYTES = 16 * 1024
"""Bytes of the names and notes before a member, which are read into memory."""
_MAX_SECONDS = 6 * 3600.0
_PIECE = 2**20
_NOTES = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)


class _Member(tarfile.TarInfo):
    """A member whose long names and notes are bounded, and which has no holes."""

    @classmethod
    @override
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        member = super().frombuf(buf, encoding, errors)
        if member.type in _NOTES and member.size > _MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"the notes of a member have {member.size:,} bytes")
        if member.size < 0:
            raise tarfile.ReadError("a member has a size below 0")
        if member.type == tarfile.GNUTYPE_SPARSE:
            raise tarfile.ReadError("a member has holes")
        return member


class _Bounded:
    """A stream that ends with an error after so many bytes or seconds."""

    def __init__(self, stream: Any, max_bytes: int) -> None:
        self._stream, self._left = stream, max_bytes
        self._end = time.monotonic() + _MAX_SECONDS

    def read(self, size: int) -> bytes:
        piece: bytes = self._stream.read(size)
        self._left -= len(piece)
        if self._left < 0:
            raise tarfile.ReadError("it is far larger than weights that were compressed")
        if time.monotonic() > self._end:
            raise tarfile.ReadError(f"it is not unpacked after {_MAX_SECONDS / 3600:.0f} hours")
        return piece


def unpack_weights(packed: Path, folder: Path, host: str) -> None:
    """Write the files of a ``tar.zst`` archive into a folder.

    Args:
        packed: the archive, which may be in the folder.
        folder: the folder.
        host: name of the host, for messages.

    Raises:
        HostError: the archive is damaged, is too large, or has a member that is neither a file nor a folder inside of
            ``folder``.
    """
    zstandard = require("zstandard", extra="openai", needed_for="unpacking weights")
    most = max(_MIN_BYTES, _MAX_GROWTH * packed.stat().st_size)
    try:
        with (
            packed.open("rb") as file,
            zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES).stream_reader(file) as stream,
            tarfile.open(fileobj=_Bounded(stream, most), mode="r|", tarinfo=_Member) as archive,  # type: ignore[call-overload]
        ):
            files = HostFiles(folder, host)
            files.path(packed.name)  # no member may take its place
            _unpack(archive, most, files, host)
    except BodyLimitError as error:
        raise HostError(f"{host}: unpacking the weights: {error}") from None
    # tarfile raises the last three on headers whose numbers are none, or that follow each other without end.
    except (zstandard.ZstdError, tarfile.TarError, EOFError, ValueError, ArithmeticError, RecursionError) as error:
        raise HostError(f"{host}: the weights came damaged ({str(error)[:200]}); fetch them again") from None


def _unpack(archive: tarfile.TarFile, most: int, files: HostFiles, host: str) -> None:
    for count, member in enumerate(archive, start=1):
        if count > _MAX_MEMBERS:
            raise HostError(f"{host}: the archive of the weights has more than {_MAX_MEMBERS:,} members")
        if member.isdir():
            continue
        if not member.isreg() or member.issparse():
            kind = "a link" if member.islnk() or member.issym() else "no plain file"
            raise HostError(
                f"{host}: {member.name[:200]!r} in the archive of the weights is {kind}, and is not written"
            )
        content = archive.extractfile(member)
        if content is None or not 0 <= member.size <= most:
            raise tarfile.ReadError(f"a member has {member.size:,} bytes")
        write_pieces(_pieces(content), files.path(member.name), member.size)


def _pieces(content: Any) -> Iterator[bytes]:
    while piece := content.read(_PIECE):
        yield piece
