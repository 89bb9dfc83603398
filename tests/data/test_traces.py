"""Traces become rows: one format for each tool, filters, feedback, and every answer once.

``traces/otel_sdk.jsonl`` was written by opentelemetry-sdk 1.45. The other records have the shapes that the tools
document.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import openai
import pytest
from typer.testing import CliRunner

import ftkit as ft
from ftkit.cli.app import app
from ftkit.data.trace_rows import TraceFilter, day_or_time, read_traces
from tests.hosts.openai_host import OpenAIFake
from tests.hosts.serving import serving

SPANS = Path(__file__).parent / "traces" / "otel_sdk.jsonl"
QUESTION = {"role": "user", "content": "where is my order?"}
ANSWER = {"role": "assistant", "content": "on its way"}
CALL = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "find", "arguments": '{"id": 7}'}}],
}


def otlp(**attributes: Any) -> dict[str, Any]:
    """OTLP JSON with one span, as the collector's file exporter writes it."""

    def typed(value: Any) -> dict[str, Any]:
        return {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}

    given = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4.1-mini", **attributes}
    span = {
        "name": "chat",
        "startTimeUnixNano": "1764000000000000000",
        "attributes": [{"key": name, "value": typed(value)} for name, value in given.items()],
    }
    return {"resourceSpans": [{"resource": {}, "scopeSpans": [{"scope": {}, "spans": [span]}]}]}


LANGFUSE = {
    "id": "t1", "timestamp": "2026-11-20T10:00:00Z", "name": "support", "projectId": "p",
    "input": None, "output": None,
    "scores": [{"name": "user-feedback", "value": 1, "dataType": "NUMERIC"}, {"name": "quality", "value": 0.9}],
    "observations": [
        {"id": "o0", "type": "SPAN", "input": {}, "output": {}},
        {"id": "o1", "type": "GENERATION", "traceId": "t1", "model": "gpt-4.1-mini",
         "startTime": "2026-11-20T10:00:01Z", "input": {"messages": [QUESTION]}, "output": ANSWER},
    ],
}  # fmt: skip
LANGSMITH = {
    "id": "r1", "run_type": "llm", "start_time": "2026-11-20T10:00:00", "error": None,
    "inputs": {"messages": [[{"lc": 1, "type": "constructor", "id": ["langchain", "schema", "HumanMessage"],
                              "kwargs": {"content": QUESTION["content"], "type": "human"}}]]},
    "outputs": {"generations": [[{"text": "on its way", "message": {"id": ["AIMessage"], "kwargs": {
        "content": "on its way", "type": "ai"}}}]]},
    "extra": {"metadata": {"ls_model_name": "gpt-4.1-mini"}},
    "feedback_stats": {"user_score": {"n": 1, "avg": 1.0}, "quality": {"n": 1, "avg": 0.9}},
}  # fmt: skip
LITELLM = {
    "id": "x", "call_type": "acompletion", "model": "gpt-4.1-mini", "startTime": 1763632800.0, "status": "success",
    "response_cost": 0.001, "messages": [QUESTION], "metadata": {"feedback": "positive", "scores": {"quality": 0.9}},
    "response": {"choices": [{"message": ANSWER, "finish_reason": "stop"}]},
}  # fmt: skip
STORED = {
    "object": "chat.completion", "id": "chatcmpl-1", "created": 1763632800, "model": "gpt-4.1-mini",
    "metadata": {"feedback": "good", "quality": "0.9"}, "messages": [QUESTION],
    "choices": [{"index": 0, "message": ANSWER, "finish_reason": "stop"}],
}  # fmt: skip
OTEL = otlp(
    **{
        "gen_ai.input.messages": json.dumps(
            [{"role": "user", "parts": [{"type": "text", "content": QUESTION["content"]}]}]
        ),
        "gen_ai.output.messages": json.dumps(
            [{"role": "assistant", "parts": [{"type": "text", "content": "on its way"}], "finish_reason": "stop"}]
        ),
    }
)
RECORDS = {"langfuse": LANGFUSE, "langsmith": LANGSMITH, "litellm": LITELLM, "openai_stored": STORED, "otel": OTEL}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FTKIT_HOME", str(tmp_path / "home"))


def written(path: Path, *records: Any) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", sorted(RECORDS))
def test_each_tool_gives_the_same_row(tmp_path: Path, name: str) -> None:
    found = read_traces(written(tmp_path / "t.jsonl", RECORDS[name], RECORDS[name]))
    assert found.format == name
    (row,) = found.rows
    assert row.messages == [QUESTION, ANSWER]
    assert found.left_out == {"repeated": 1}
    assert read_traces(written(tmp_path / "t.json", RECORDS[name])).rows[0].messages == [QUESTION, ANSWER]


@pytest.mark.parametrize("name", ["langfuse", "langsmith", "litellm", "openai_stored"])
def test_filters_take_the_facts_of_each_tool(tmp_path: Path, name: str) -> None:
    path = written(tmp_path / "t.jsonl", RECORDS[name])
    day = day_or_time("2026-11-20" if name in ("langfuse", "langsmith") else "2025-11-20")
    wanted = TraceFilter(model="gpt-4.1*", since=day, scores={"quality": 0.8}, feedback=True)
    assert len(read_traces(path, where=wanted).rows) == 1
    for other, reason in (
        (TraceFilter(model="gpt-4o*"), "another model"),
        (TraceFilter(until=day), "another time"),
        (TraceFilter(scores={"quality": 0.95}), "quality is below 0.95"),
        (TraceFilter(scores={"tone": 0}), "without tone"),
        (TraceFilter(feedback=False), "other feedback"),
    ):
        with pytest.raises(ft.DataError, match=reason):
            read_traces(path, where=other)
    labelled = read_traces(path, labels=True)
    assert labelled.rows[0].label is True


TOOL = {"type": "function", "function": {"name": "find", "parameters": {"type": "object", "properties": {}}}}
SET = {"tools": [TOOL], "parallel_tool_calls": False, "temperature": 0.2}
WITH_TOOLS: dict[str, dict[str, Any]] = {
    "langfuse in what was asked": LANGFUSE["observations"][1] | {"input": {"messages": [QUESTION], **SET}},
    "langfuse": LANGFUSE["observations"][1] | {"modelParameters": json.dumps(SET)},
    "langsmith": LANGSMITH | {"extra": {"invocation_params": SET}},
    "langsmith in what was asked": LANGSMITH | {"inputs": {"messages": [QUESTION], **SET}},
    "litellm": LITELLM | {"model_parameters": SET},
    "openai_stored": STORED | SET,
}


@pytest.mark.parametrize("name", WITH_TOOLS)
def test_what_was_set_for_the_tools_is_kept(tmp_path: Path, name: str) -> None:
    path = written(tmp_path / "t.jsonl", WITH_TOOLS[name])
    for rows in (read_traces(path).rows, ft.Dataset.load(path, format=name.partition(" ")[0])):
        (row,) = rows
        assert (row.tools, row.parallel_tool_calls) == ([TOOL], False)
        rows.write(tmp_path / "again.jsonl", format="openai")
        (again,) = ft.Dataset.load(tmp_path / "again.jsonl")
        assert (again.tools, again.parallel_tool_calls) == ([TOOL], False)


def test_single_records_are_a_dataset_by_the_name_of_their_format(tmp_path: Path) -> None:
    rows = ft.Dataset.load(written(tmp_path / "t.jsonl", LITELLM), format="litellm")
    assert [row.messages for row in rows] == [[QUESTION, ANSWER]]


def test_spans_of_the_sdk(tmp_path: Path) -> None:
    found = read_traces(SPANS)
    assert [row.target for row in found.rows] == ["red", "blue", "red"]
    assert found.rows[0].prompt[0] == {"role": "system", "content": "Say which team."}
    assert found.left_out == {"not a call of a chat model": 1, "failed": 1}
    assert [row.label for row in read_traces(SPANS, labels=True).rows] == [True, True, False]
    assert len(read_traces(SPANS, where=TraceFilter(scores={"helpfulness": 0.5})).rows) == 2


def test_tool_calls_are_kept(tmp_path: Path) -> None:
    parts = {
        "gen_ai.tool.definitions": json.dumps([{"type": "function", "name": "find", "parameters": {"type": "object"}}]),
        "gen_ai.input.messages": json.dumps([{"role": "user", "parts": [{"type": "text", "content": "find 7"}]}]),
        "gen_ai.output.messages": json.dumps(
            [
                {
                    "role": "assistant",
                    "parts": [{"type": "tool_call", "id": "c1", "name": "find", "arguments": {"id": 7}}],
                }
            ]
        ),
    }
    langchain = {"role": "assistant", "content": "", "tool_calls": [{"id": "c1", "name": "find", "args": {"id": 7}}]}
    smith = LANGSMITH | {"outputs": {"messages": [langchain]}, "inputs": {"messages": [QUESTION]}}
    for record in (otlp(**parts), smith, LITELLM | {"response": {"choices": [{"message": CALL}]}}):
        (row,) = read_traces(written(tmp_path / "t.jsonl", record)).rows
        assert row.completion is not None
        assert row.completion["tool_calls"] == CALL["tool_calls"]
    (row,) = read_traces(written(tmp_path / "t.jsonl", otlp(**parts))).rows
    assert row.tools is not None
    assert row.tools[0]["function"]["name"] == "find"


def test_answers_found_good_and_bad_are_left_out(tmp_path: Path) -> None:
    bad = LITELLM | {"metadata": {"feedback": "thumbs_down"}}
    other = LITELLM | {"messages": [{"role": "user", "content": "hello"}], "metadata": {"feedback": False}}
    found = read_traces(written(tmp_path / "t.jsonl", LITELLM, bad, other), labels=True)
    assert [row.label for row in found.rows] == [False]
    assert found.left_out["found good and bad"] == 1


def test_the_command_writes_rows_and_names_secrets(tmp_path: Path) -> None:
    key = "sk-proj-" + "Ab3dEf6hIj9lMn2pQr5tUv8xYz1aBc4e" + "T3BlbkFJ" + "Ab3dEf6hIj9lMn2pQr5tUv8xYz1aBc4e"
    secret = LITELLM | {"messages": [{"role": "user", "content": f"my key is {key}"}]}
    out = tmp_path / "rows.jsonl"
    clean = CliRunner().invoke(app, ["data", "traces", str(written(tmp_path / "a.jsonl", LITELLM)), "-o", str(out)])
    assert clean.exit_code == 0, clean.output
    assert "1 row of litellm" in clean.stderr
    assert ft.Dataset.load(out)[0].target == "on its way"
    found = CliRunner().invoke(
        app, ["data", "traces", str(written(tmp_path / "b.jsonl", LITELLM, secret)), "-o", str(out), "--force"]
    )
    assert "S001" in found.stderr
    assert found.exit_code == 1
    assert key not in found.output


@pytest.mark.parametrize(
    ("record", "says"),
    [
        ({"a": 1}, "no record is of otel, langfuse, langsmith, litellm, openai_stored; the first has a."),
        (LITELLM | {"response": {}}, "1 cannot be read. The first: t.jsonl:1: response: there is no answer"),
        (LITELLM | {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "a part of type 'image_url'"),
        (LITELLM | {"messages": "x" * 10, "response": None}, "there is no answer"),
        (LITELLM | {"messages": [7]}, "a message is an object"),
        (STORED | {"messages": None}, "the completion has no messages"),
        (STORED | {"choices": [None]}, "there is no answer"),
        (LANGSMITH | {"outputs": {}}, "there is no answer"),
        (LANGSMITH | {"inputs": {"messages": []}}, "there are no messages"),
        (LANGFUSE | {"observations": [], "input": 3, "output": "x", "sessionId": "s"}, "neither a text nor a list"),
        (otlp(), "gen_ai.input.messages"),
        ({"resourceSpans": [{"scopeSpans": [{"spans": [3, None]}]}, 4]}, "there are none"),
    ],
)
def test_hostile_records_are_refused_by_place(tmp_path: Path, record: Any, says: str) -> None:
    path = written(tmp_path / "t.jsonl", record)
    with pytest.raises(ft.DataError) as caught:
        read_traces(path)
    assert says in str(caught.value).replace(f"{tmp_path}/", "")


def test_a_file_that_nests_without_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_text('{"resourceSpans": ' + "[" * 200_000, encoding="utf-8")
    with pytest.raises(ft.DataError):
        read_traces(path)


def test_stored_completions_are_downloaded_with_their_messages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the official client, page by page."""
    completions = [
        {key: value for key, value in (STORED | {"id": f"chatcmpl-{number}"}).items() if key != "messages"}
        for number in range(3)
    ]
    with serving(OpenAIFake()) as fake:
        assert isinstance(fake, OpenAIFake)
        fake.spec = None

        def answer(call: Any) -> Any:
            if call.path.endswith("/messages"):
                number = call.path.split("/")[-2]
                turns = [{"id": f"{number}-0", "role": "user", "content": f"question {number}"}]
                return 200, {"object": "list", "data": turns, "has_more": False}, {}
            if call.path.endswith("/chat/completions"):
                start = 2 if call.query.get("after") == "chatcmpl-1" else 0
                page = completions[start : start + 2]
                return 200, {"object": "list", "data": page, "has_more": start == 0}, {}
            return None

        fake.override = answer
        monkeypatch.setenv("OPENAI_BASE_URL", f"{fake.url}/v1")
        monkeypatch.setenv("OPENAI_API_KEY", fake.key)
        assert openai.OpenAI().base_url.port == int(fake.url.rpartition(":")[2])
        out = tmp_path / "stored.jsonl"
        done = CliRunner().invoke(app, ["data", "stored", "-o", str(out)])
    assert done.exit_code == 0, done.output
    assert "3 completions" in done.stderr
    rows = read_traces(out).rows
    assert [row.prompt[0]["content"] for row in rows] == [f"question chatcmpl-{number}" for number in range(3)]


def test_parts_of_stored_messages_are_read_or_refused(tmp_path: Path) -> None:
    """``content_parts`` of ``ChatCompletionStoreMessage``, whose content is null then."""
    text = {"type": "text", "text": QUESTION["content"]}
    turn = {"id": "chatcmpl-1-0", "role": "user", "name": None, "content": None, "content_parts": [text]}
    assert read_traces(written(tmp_path / "t.jsonl", STORED | {"messages": [turn]})).rows[0].messages[0] == QUESTION
    image = {"type": "image_url", "image_url": {"url": "https://example.com/x.png"}}
    with pytest.raises(ft.DataError, match="a part of type 'image_url'"):
        read_traces(written(tmp_path / "t.jsonl", STORED | {"messages": [turn | {"content_parts": [text, image]}]}))


def stored(**changes: Any) -> dict[str, Any]:
    return {
        "object": "chat.completion",
        "model": "gpt-4.1",
        "messages": [QUESTION],
        "choices": [{"finish_reason": "stop", "message": ANSWER}],
        **changes,
    }


def lines(path: Path, *records: dict[str, Any]) -> Path:
    path.write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    return path


CUT = {"choices": [{"finish_reason": "length", "message": ANSWER}]}
CUT_ANSWERS = [
    (stored(), stored(messages=[{"role": "user", "content": "other"}], **CUT)),
    tuple(
        {"call_type": "completion", "model": "m", "messages": [QUESTION], "response": response}
        for response in (stored(), CUT)
    ),
    tuple(
        {"run_type": "llm", "inputs": {"messages": [QUESTION]}, "outputs": answer}
        for answer in (
            {"generations": [[{"text": "length"}]]},
            {"generations": [[{"text": "a", "generation_info": {"finish_reason": "length"}}]]},
        )
    ),
    tuple(
        {
            "run_type": "llm",
            "inputs": {"messages": [QUESTION]},
            "outputs": {
                "generations": [
                    [
                        {
                            "text": "a",
                            "message": {"kwargs": {"type": "ai", "content": "a", "response_metadata": {name: reason}}},
                        }
                    ]
                ]
            },
        }
        for name, reason in (("finish_reason", "stop"), ("stop_reason", "max_tokens"))
    ),
    tuple(
        {"observationId": "o", "type": "GENERATION", "input": [QUESTION], "output": output}
        for output in ("length", CUT)
    ),
]


@pytest.mark.parametrize("records", CUT_ANSWERS)
def test_an_answer_that_was_cut_off_is_no_row(tmp_path: Path, records: tuple[dict[str, Any], ...]) -> None:
    read = read_traces(lines(tmp_path / "log.jsonl", *records))
    assert len(read.rows) == 1
    assert read.left_out == {"cut off": 1}


def test_a_span_that_was_cut_off_is_no_row(tmp_path: Path) -> None:
    def span(text: str, reasons: Any, **more: str) -> dict[str, Any]:
        turn = [{"role": "user", "parts": [{"type": "text", "content": text}]}]
        said = [{"role": "assistant", "parts": [{"type": "text", "content": "yes"}], **more}]
        attributes = {
            "gen_ai.operation.name": "chat",
            "gen_ai.input.messages": json.dumps(turn),
            "gen_ai.output.messages": json.dumps(said),
            "gen_ai.response.finish_reasons": reasons,
        }
        return {"name": "chat", "attributes": attributes, "events": 5}

    spans = span("one", ["stop"]), span("two", '["max_tokens"]'), span("three", None, finish_reason="length")
    read = read_traces(lines(tmp_path / "spans.jsonl", *spans))
    assert read.left_out == {"cut off": 2}
    assert read.rows[0].prompt[-1]["content"] == "one"


def test_calls_that_are_no_list_are_left_out_and_named(tmp_path: Path) -> None:
    odd = stored(choices=[{"message": {"role": "assistant", "content": None, "tool_calls": 5}}])
    read = read_traces(lines(tmp_path / "log.jsonl", odd, stored()))
    assert read.left_out == {"cannot be read": 1}
    assert "tool_calls is no list" in str(read.problems[0])


def langfuse_trace(name: str = "t1") -> dict[str, Any]:
    """A trace as Langfuse's API gives one."""
    generation = {"id": "g1", "traceId": name, "type": "GENERATION", "input": [QUESTION], "output": ANSWER}
    return {"id": name, "input": None, "output": None, "sessionId": None, "observations": [generation], "scores": []}


def langsmith_run() -> dict[str, Any]:
    asked, answer = (
        {"type": "constructor", "kwargs": {"content": turn["content"], "type": kind}}
        for turn, kind in ((QUESTION, "human"), (ANSWER, "ai"))
    )
    return {
        "id": "r1", "trace_id": "t1", "dotted_order": "1", "run_type": "llm", "parent_run_ids": [],
        "inputs": {"messages": [[asked]]},
        "outputs": {"generations": [[{"text": ANSWER["content"], "message": answer}]]},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "pages"),
    [
        ({"message": "Request Successful.", "data": langfuse_trace()}, False),
        ({"data": [langfuse_trace()], "meta": {"page": 1, "totalPages": 1}}, False),
        ({"data": [langfuse_trace()], "meta": {"page": 1, "totalPages": 3}}, True),
        ({"runs": [langsmith_run()], "cursors": {"next": None}}, False),
        ({"runs": [langsmith_run()], "cursors": {"next": "abc"}}, True),
        ({"items": [langsmith_run()], "next_cursor": None}, False),
    ],
)
def test_answers_of_list_apis_are_read_and_one_page_is_said(
    tmp_path: Path, answer: dict[str, Any], pages: bool
) -> None:
    path = tmp_path / "traces.json"
    path.write_text(json.dumps(answer), encoding="utf-8")
    found = read_traces(path)
    (row,) = found.rows
    assert (row.prompt[0]["content"], row.target) == (QUESTION["content"], ANSWER["content"])
    assert [("one page of a longer list" in str(problem)) for problem in found.problems] == [True] * pages


@pytest.mark.parametrize(
    "request_",
    [
        {"messages": [QUESTION]},
        json.dumps({"messages": [QUESTION]}),
        {"body": {"messages": [QUESTION]}},
        {"input": QUESTION["content"]},
        {"input": [QUESTION], "instructions": "Be brief."},
    ],
)
@pytest.mark.parametrize("responses", [False, True])
def test_litellm_keeps_the_request_where_messages_are_empty(tmp_path: Path, request_: Any, responses: bool) -> None:
    """As the spend logs of its proxy do."""
    part = {"type": "output_text", "text": ANSWER["content"], "annotations": []}
    item = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]}
    response = {"output": [item]} if responses else {"choices": [{"index": 0, "message": ANSWER}]}
    record = {"call_type": "aresponses", "spend": 0.1, "messages": "{}", "response": response}
    path = tmp_path / "spend.jsonl"
    path.write_text(json.dumps({**record, "proxy_server_request": request_}), encoding="utf-8")
    found = read_traces(path)
    (row,) = found.rows
    assert found.format == "litellm"
    assert (row.prompt[-1]["content"], row.target) == (QUESTION["content"], ANSWER["content"])
    assert len(row.prompt) == (2 if "instructions" in request_ else 1)
