"""Files in multipart bodies: written to disk as they come, never whole in memory."""

from __future__ import annotations

import contextlib
import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request

from ftkit.server.errors import ApiError

__all__ = ["UploadedForm", "receive_file"]

_MOST_FIELDS, _MOST_FIELD_BYTES, _MOST_OVERHEAD = 16, 4096, 64 * 1024
_PLAIN = {"", "binary", "7bit", "8bit"}


@dataclass(slots=True)
class UploadedForm:
    """What came: plain fields, and one file that lies where it was told to.

    Attributes:
        fields: texts by name.
        filename: the client's name for the file; ``None`` when no file came. It never names anything on disk.
        bytes: of the file.
        md5: of the file, in hexadecimal digits.
    """

    fields: dict[str, str] = field(default_factory=dict)
    filename: str | None = None
    bytes: int = 0
    md5: str = ""


async def receive_file(request: Request, name: str, target: Path, max_bytes: int) -> UploadedForm:
    """Read a multipart body, and write the file in its field ``name`` to ``target``.

    ``target`` is not there when this raises. A body of any other shape is refused: a second file, a file in another
    field, a field twice, a part that ends nowhere.

    Raises:
        ApiError: 400, the body is not of that shape; 413, the file is larger than ``max_bytes``.
        OSError: the disk is full.
    """
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise ApiError(400, "The body must be multipart/form-data with a boundary.", code="invalid_content_type")
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdigit() and int(length[:20]) > max_bytes + _MOST_OVERHEAD:
        raise _too_large(max_bytes)  # nothing of it is read
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        # 0600: rows of private data, readable by the server's user only.
        handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            reading = _Reading(name, file, max_bytes)
            parser = MultipartParser(boundary, reading.callbacks())  # type: ignore[arg-type]  # TypedDict of methods
            total = 0
            async for chunk in request.stream():
                total += len(chunk)
                if total > max_bytes + _MOST_OVERHEAD:
                    raise _too_large(max_bytes)
                await run_in_threadpool(parser.write, chunk)
            if not reading.ended:
                raise ApiError(400, "The multipart body ended too early.", code="invalid_multipart")
            await run_in_threadpool(_sync, file)
    except BaseException as error:
        with contextlib.suppress(FileNotFoundError):
            target.unlink()
        if isinstance(error, FormParserError):
            raise ApiError(400, f"The multipart body is malformed: {error}.", code="invalid_multipart") from None
        if isinstance(error, ClientDisconnect):
            raise ApiError(400, "The multipart body ended too early.", code="invalid_multipart") from None
        raise
    found = reading.form
    if found.filename is None:
        with contextlib.suppress(FileNotFoundError):
            target.unlink()
        raise ApiError(400, f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter")
    found.md5 = reading.digest.hexdigest()
    return found


class _Reading:
    """What the parser tells, checked as it comes."""

    def __init__(self, name: str, file: BinaryIO, max_bytes: int) -> None:
        self._name, self._file, self._max_bytes = name, file, max_bytes
        self.form = UploadedForm()
        self.digest = hashlib.md5(usedforsecurity=False)  # what OpenAI's clients send to compare
        self.ended = False
        self._headers: dict[str, bytes] = {}
        self._header, self._value = bytearray(), bytearray()
        self._field: str | None = None
        self._text = bytearray()

    def callbacks(self) -> dict[str, object]:
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._header.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
            "on_header_end": self._header_ended,
            "on_headers_finished": self._headers_ended,
            "on_part_data": self._data,
            "on_part_end": self._part_ended,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        self._headers = {}

    def _header_ended(self) -> None:
        self._headers[self._header.decode("latin-1").lower()] = bytes(self._value)
        self._header.clear()
        self._value.clear()

    def _headers_ended(self) -> None:
        kind, options = parse_options_header(self._headers.get("content-disposition", b""))
        name = options.get(b"name")
        if kind != b"form-data" or name is None:
            raise _malformed("a part has no name")
        if self._headers.get("content-transfer-encoding", b"").decode("latin-1").strip().lower() not in _PLAIN:
            raise _malformed("a part has a content-transfer-encoding; send it as it is")
        field_name = name.decode("utf-8", "replace")
        if field_name == self._name:
            if self.form.filename is not None:
                raise _malformed(f"'{self._name}' is there twice")
            self.form.filename = options.get(b"filename", b"").decode("utf-8", "replace")
            self._field = None
            return
        if b"filename" in options:
            raise _malformed(f"a file in '{field_name[:64]}', where none is expected")
        if field_name in self.form.fields:
            raise _malformed(f"'{field_name[:64]}' is there twice")
        if len(self.form.fields) >= _MOST_FIELDS:
            raise _malformed(f"more than {_MOST_FIELDS} fields")
        self._field = field_name
        self._text = bytearray()

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._field is not None:
            self._text += data[start:end]
            if len(self._text) > _MOST_FIELD_BYTES:
                raise _malformed(f"'{self._field[:64]}' is longer than {_MOST_FIELD_BYTES:,} bytes")
            return
        self.form.bytes += end - start
        if self.form.bytes > self._max_bytes:
            raise _too_large(self._max_bytes)
        self.digest.update(data[start:end])
        self._file.write(data[start:end])

    def _part_ended(self) -> None:
        if self._field is not None:
            self.form.fields[self._field] = self._text.decode("utf-8", "replace")
            self._field = None

    def _end(self) -> None:
        self.ended = True


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _malformed(what: str) -> ApiError:
    return ApiError(400, f"The multipart body is malformed: {what}.", code="invalid_multipart")


def _too_large(most: int) -> ApiError:
    message = f"The file is larger than {most:,} bytes. Larger ones go through /v1/uploads, in parts."
    return ApiError(413, message, param="file", code="file_too_large", headers={"connection": "close"})
