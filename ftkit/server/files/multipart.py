"""Parse multipart bodies with Starlette's parser and stream the file to disk."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from python_multipart.multipart import parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request
from typing_extensions import override

from ftkit.server.errors import ApiError

__all__ = ["UploadedForm", "receive_file"]

_MAX_FIELDS, _MAX_FIELD_BYTES, _MAX_OVERHEAD_BYTES = 16, 4096, 64 * 1024
_CHARSETS = frozenset({"utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1", "latin-1"})
"""Charsets of names and fields. Python knows many more, of which some raise errors of their own."""
_PLAIN_ENCODINGS = {"", "binary", "7bit", "8bit"}


@dataclass(frozen=True, slots=True)
class UploadedForm:
    """The fields of a multipart body, and the size and name of its file.

    Attributes:
        fields: text fields by name.
        filename: the client's name for the file. It never names anything on disk.
        bytes: size of the file.
    """

    fields: dict[str, str]
    filename: str
    bytes: int


async def receive_file(request: Request, name: str, target: Path, max_bytes: int) -> UploadedForm:
    """Read a multipart body and write the file in its field ``name`` to ``target``.

    If this raises, ``target`` does not exist. A second file, a file in another field, a repeated field and a body
    without a closing boundary are refused.

    Args:
        request: the HTTP request.
        name: field that holds the file.
        target: new file, readable by the server's user only.
        max_bytes: largest size of the file.

    Returns:
        The text fields and what is known of the file.

    Raises:
        ApiError: 400 if the body does not have this form; 413 if the file is larger than ``max_bytes``.
        OSError: the disk is full.
    """
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise ApiError(400, "The body must be multipart/form-data with a boundary.", code="invalid_content_type")
    if (charset := options.get(b"charset", b"utf-8").decode("latin-1").lower()) not in _CHARSETS:
        raise ApiError(400, f"The charset {charset[:40]!r} is not supported; send utf-8.", code="invalid_content_type")
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdigit() and int(length[:20]) > max_bytes + _MAX_OVERHEAD_BYTES:
        raise _too_large(max_bytes)  # before anything is read
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        # Mode 0600: the rows may be private.
        with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            parser = _FileParser(request.headers, _limited(request, max_bytes), name, file)
            data = await parser.parse()
            if not parser.complete:
                raise _malformed("it ended before its closing boundary")
            await run_in_threadpool(_sync, file)
        form = _form(data.multi_items(), name)
        if form.bytes > max_bytes:
            raise _too_large(max_bytes)
    except BaseException as error:
        with contextlib.suppress(FileNotFoundError):
            target.unlink()
        if isinstance(error, MultiPartException):
            raise _malformed(error.message.removesuffix(".")) from None
        if isinstance(error, ClientDisconnect):
            raise _malformed("the connection was closed before its end") from None
        raise
    return form


class _FileParser(MultiPartParser):
    """Starlette's parser, writing its one file to ``file`` and refusing encoded parts."""

    def __init__(self, headers: Headers, stream: AsyncGenerator[bytes, None], name: str, file: BinaryIO) -> None:
        limits = {"max_files": 1, "max_fields": _MAX_FIELDS, "max_part_size": _MAX_FIELD_BYTES}
        super().__init__(headers, stream, **limits)
        self._name, self._file = name, file
        self.complete = False

    @override
    def on_headers_finished(self) -> None:
        part = self._current_part
        headers = {name.lower(): value for name, value in part.item_headers}
        if parse_options_header(part.content_disposition)[0] != b"form-data":
            raise MultiPartException("a part is not form-data")
        if headers.get(b"content-transfer-encoding", b"").decode("latin-1").strip().lower() not in _PLAIN_ENCODINGS:
            raise MultiPartException("a part has a content-transfer-encoding; send it unencoded")
        super().on_headers_finished()
        if part.file is not None:
            if part.field_name != self._name:
                raise MultiPartException(f"a file in '{part.field_name[:64]}', where none is expected")
            part.file = UploadFile(self._file, size=0, filename=part.file.filename)

    @override
    def on_end(self) -> None:
        self.complete = True


async def _limited(request: Request, max_bytes: int) -> AsyncGenerator[bytes, None]:
    """The body's chunks; raise once they are more than the file and its headers may have."""
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > max_bytes + _MAX_OVERHEAD_BYTES:
            raise _too_large(max_bytes)
        yield chunk


def _form(items: list[tuple[str, UploadFile | str]], name: str) -> UploadedForm:
    """Check that no field is repeated and that the file is there."""
    names = [field for field, _ in items]
    if repeated := next((field for field in names if names.count(field) > 1), None):
        raise _malformed(f"'{repeated[:64]}' is repeated")
    values = dict(items)
    file = values.pop(name, None)
    if not isinstance(file, UploadFile):
        raise ApiError(400, f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter")
    fields = {field: value for field, value in values.items() if isinstance(value, str)}
    return UploadedForm(fields, file.filename or "", file.size or 0)


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _malformed(what: str) -> ApiError:
    return ApiError(400, f"The multipart body is malformed: {what}.", code="invalid_multipart")


def _too_large(max_bytes: int) -> ApiError:
    message = f"The file is larger than {max_bytes:,} bytes. Send larger files in parts with /v1/uploads."
    return ApiError(413, message, param="file", code="file_too_large", headers={"connection": "close"})
