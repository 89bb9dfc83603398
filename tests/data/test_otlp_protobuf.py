"""OpenTelemetry's protobuf: the files of the collector's exporter, a single message, and broken ones."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

import pytest

import ftkit as ft
from ftkit import DataError
from ftkit.data.sources import open_source
from ftkit.data.trace_rows import TraceFilter, read_traces

from .test_traces import ANSWER, QUESTION, otlp

json_format = pytest.importorskip("google.protobuf.json_format")
trace_pb2 = pytest.importorskip("opentelemetry.proto.trace.v1.trace_pb2")


def message(question: str, model: str = "gpt-4.1-mini", failed: bool = False) -> bytes:
    """One exported request with one span, serialised by the official classes."""
    spans: Any = otlp(
        **{
            "gen_ai.request.model": model,
            "gen_ai.input.messages": f'[{{"role":"user","parts":[{{"type":"text","content":"{question}"}}]}}]',
            "gen_ai.output.messages": '[{"role":"assistant","parts":[{"type":"text","content":"on its way"}]}]',
        }
    )
    span = spans["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    span |= {"traceId": "5b8aa5a2d2c872e8321cf37308d69df2", "spanId": "051581bf3cb55c13", "kind": 3}
    if failed:
        span["status"] = {"code": 2}
    written: bytes = json_format.ParseDict(spans, trace_pb2.TracesData()).SerializeToString()
    return written


def delimited(*messages: bytes) -> bytes:
    return b"".join(len(each).to_bytes(4, "big") + each for each in messages)


def test_the_collectors_file_becomes_rows(tmp_path: Path) -> None:
    path = tmp_path / "spans.otlp"
    question = str(QUESTION["content"])
    path.write_bytes(
        delimited(message(question), message("other", model="gpt-5"), message("third", failed=True), message(question))
    )
    found = read_traces(path, where=TraceFilter(model="gpt-4.1*"))
    assert found.format == "otel"
    assert [row.messages for row in found.rows] == [[QUESTION, ANSWER]]
    assert sum(found.left_out.values()) == 3
    data = open_source(path)
    assert len(data) == 4
    assert len(pickle.loads(pickle.dumps(data))) == 4


def test_one_message_is_a_file_too_and_the_same_as_its_json(tmp_path: Path) -> None:
    path = tmp_path / "body.binpb"
    path.write_bytes(message("where is my order?"))
    assert [row.messages for row in read_traces(path).rows] == [[QUESTION, ANSWER]]


def test_an_empty_message_holds_no_spans(tmp_path: Path) -> None:
    path = tmp_path / "spans.otlp"
    path.write_bytes(delimited(b"", message("where is my order?")))
    assert len(read_traces(path).rows) == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (delimited(b"\x0a\x05abc"), "is none of OpenTelemetry's traces"),
        (b"\x00\x00\x10\x00short", r"message 1 announces 4,096 bytes, and 5 are left"),
        (delimited(b"") + b"\x00\x00", r"message 2 announces 0 bytes, and 0 are left|cut off"),
        (b"\x7f\xff\xff\xff", "cut off"),
        (b"\x0a" * 3000, "is none of OpenTelemetry's traces"),
        (b"", "there are no records"),
    ],
)
def test_broken_files_are_named(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "spans.otlp"
    path.write_bytes(content)
    with pytest.raises(DataError, match=said):
        read_traces(path)


def test_a_message_above_the_limit_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "spans.otlp"
    path.write_bytes(delimited(message("x" * 5000)))
    with pytest.raises(DataError, match="more than the 1,000 allowed"):
        open_source(path, max_line_bytes=1000)


def test_without_the_package_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "spans.otlp"
    path.write_bytes(delimited(message("x")))
    monkeypatch.setitem(sys.modules, "opentelemetry.proto.trace.v1.trace_pb2", None)
    with pytest.raises(ft.MissingExtraError, match=r"ftkit\[otlp\]"):
        open_source(path)
