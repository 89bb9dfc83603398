"""OpenTelemetry's protobuf, as the collector's file exporter writes it with ``format: proto`` (extra ``otlp``).

Each message stands behind four bytes with its length, the highest first. A file may also be one message, such as the
body of an export over HTTP. Source:
https://github.com/open-telemetry/opentelemetry-collector-contrib/tree/main/exporter/fileexporter
"""

from __future__ import annotations

from array import array
from pathlib import Path
from typing import Any, BinaryIO

from typing_extensions import override

from ftkit.data.sources.base import Reader, Source
from ftkit.data.sources.text import row_too_long
from ftkit.errors import DataError, Place
from ftkit.extras import require

__all__ = ["OtlpProtobuf"]

_LENGTH = 4
_FIRST_FIELD = b"\x0a"
"""First byte of a message of spans. As the first byte of a length it would announce more than 160 MB."""


class OtlpProtobuf(Source):
    """A file of exported spans. A row is one message, in OTLP's JSON form; its line is its number, from 1."""

    def __init__(self, path: Path, name: str, *, max_line_bytes: int, nulls_are_absent: bool = False) -> None:
        super().__init__(path, name, max_line_bytes=max_line_bytes, nulls_are_absent=nulls_are_absent)
        require("opentelemetry.proto.trace.v1.trace_pb2", extra="otlp", needed_for=f"reading {name}")
        self.starts, self.lengths = array("q"), array("q")
        size = self.path.stat().st_size
        with self.path.open("rb") as file:
            if file.read(1) == _FIRST_FIELD:
                self._add(0, size)
                return
            at = 0
            while at < size:
                file.seek(at)
                announced = int.from_bytes(file.read(_LENGTH), "big")
                if at + _LENGTH + announced > size:
                    raise DataError(
                        f"{name} is no file of OpenTelemetry's protobuf, or it was cut off: message "
                        f"{len(self.starts) + 1} announces {announced:,} bytes, and {max(0, size - at - _LENGTH):,} "
                        "are left"
                    )
                self._add(at + _LENGTH, announced)
                at += _LENGTH + announced

    def _add(self, start: int, length: int) -> None:
        if length > self.max_line_bytes:
            raise row_too_long(Place(self.name, len(self.starts) + 1), length, self.max_line_bytes)
        self.starts.append(start)
        self.lengths.append(length)

    def __len__(self) -> int:
        return len(self.starts)

    @override
    def line(self, row: int) -> int:
        return row + 1

    @override
    def _open(self, sequential: bool) -> Reader:
        return _Reader(self)


class _Reader(Reader):
    def __init__(self, source: OtlpProtobuf) -> None:
        self._source = source
        self._file: BinaryIO = source.path.open("rb")

    @override
    def read(self, row: int, place: Place) -> dict[str, Any]:
        from google.protobuf.json_format import MessageToDict
        from google.protobuf.message import DecodeError
        from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

        self._file.seek(self._source.starts[row])
        content = self._file.read(self._source.lengths[row])
        try:
            message = TracesData.FromString(content)
        except DecodeError:
            raise DataError("the message is none of OpenTelemetry's traces", place=place) from None
        found: dict[str, Any] = MessageToDict(message)
        return {"resourceSpans": [], **found}

    @override
    def close(self) -> None:
        self._file.close()
