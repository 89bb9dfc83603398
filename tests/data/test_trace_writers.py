"""Traces in the forms in which real programs wrote them.

Each record has the fields of a file that a tool or an instrumentation wrote (``docs/interchange.md`` says which), with
short texts: Langfuse's downloads of traces of six frameworks, and spans and logs of LiteLLM, LangSmith, OpenLLMetry,
OpenInference and OpenTelemetry's own instrumentation of OpenAI's client.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import ftkit as ft
from ftkit.data.trace_rows import TraceRows, read_traces

ASKED = {"role": "user", "content": "What is the weather in Tokyo?"}
SYSTEM = {"role": "system", "content": "Be brief."}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}
FLAT = {"type": "function", "name": "get_weather", "parameters": SCHEMA, "description": None, "strict": None}
ITEM = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "get_weather", "arguments": {"city": "Tokyo"}}
MESSAGE = {
    "type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
    "content": [{"type": "output_text", "text": "Sunny.", "annotations": [], "logprobs": []}],
}  # fmt: skip
THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAA"}
LC_CALL = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": {"city": "Tokyo"}}}
CALL = ("assistant", "", 'get_weather{"city": "Tokyo"}')
Q, S, A = ("user", ASKED["content"]), ("system", "Be brief."), ("assistant", "Sunny.")


def response(*output: Any, **more: Any) -> dict[str, Any]:
    """An answer of the Responses API, as it is logged."""
    body = {"object": "response", "id": "resp_1", "status": "completed", "instructions": "Be brief.", "tools": [FLAT]}
    return {**body, "parallel_tool_calls": True, "previous_response_id": None, "output": list(output), **more}


def generation(asked: Any, answer: Any, **more: Any) -> dict[str, Any]:
    return {
        "id": "g",
        "type": "GENERATION",
        "model": "gpt-4o",
        "level": "DEFAULT",
        "input": asked,
        "output": answer,
        **more,
    }


def langfuse(*observations: Any) -> dict[str, Any]:
    """A trace as the page downloads it."""
    span = {"id": "s", "type": "SPAN", "input": None, "output": None}
    return {"trace": {"id": "t", "projectId": "p", "input": None, "output": None, "scores": []},
            "observations": [span, *observations]}  # fmt: skip


def part(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, **fields}


def span(**attributes: Any) -> dict[str, Any]:
    given = {name: value if isinstance(value, str | int) else json.dumps(value) for name, value in attributes.items()}
    return {"name": "chat", "start_time": "2026-11-30T12:39:33.614143Z", "status": {"status_code": "UNSET"},
            "events": [], "attributes": given}  # fmt: skip


def read(path: Path, *records: Any) -> TraceRows:
    if len(records) == 1 and path.suffix == ".json":
        path.write_text(json.dumps(records[0], indent=4), encoding="utf-8")
    else:
        path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return read_traces(path)


def turns(row: Any) -> list[tuple[str, ...]]:
    return [
        (
            message["role"],
            message.get("content") or "",
            *(call["function"]["name"] + call["function"]["arguments"] for call in message.get("tool_calls", ())),
        )
        for message in row.messages
    ]


PARTS_CALL = {
    "role": "assistant",
    "parts": [part("tool_call", id=["run_1", "c1"], name="get_weather", arguments={"city": "Tokyo"})],
}
PARTS_RESULT = part("tool_call_response", id=["run_1", "c1"], name="get_weather", result="20 degrees")
SDK_CALL = {"toolCallId": "c1", "toolName": "get_weather", "input": '{"city": "Tokyo"}'}
SDK_TOOL = json.dumps({"type": "function", "name": "get_weather", "inputSchema": SCHEMA})
LANGFUSE: dict[str, tuple[Any, list[tuple[str, ...]]]] = {
    "OpenAI Agents SDK": (
        generation([ASKED, ITEM, {"type": "function_call_output", "call_id": "c1", "output": "20 degrees"}],
                   response(THOUGHT, MESSAGE),
                   modelParameters={"parallel_tool_calls": "true", "instructions": "Be brief."}),
        [S, Q, CALL, ("tool", "20 degrees"), A],
    ),
    "LangGraph": (
        generation([ASKED, {"role": "assistant", "content": "", "additional_kwargs": {"tool_calls": [LC_CALL]}},
                    {"role": "tool", "tool_call_id": "c1", "content": [{"title": "Tokyo"}]},
                    {"role": "tool", "content": TOOL}],
                   {"role": "assistant", "content": "Sunny.", "additional_kwargs": {"refusal": None}}),
        [Q, CALL, ("tool", '[{"title": "Tokyo"}]'), A],
    ),
    "Pydantic AI": (
        generation([{"role": "system", "parts": [part("text", content="Be brief.")]},
                    {"role": "user", "parts": [part("text", content=ASKED["content"])]}, PARTS_CALL,
                    {"role": "user", "parts": [PARTS_RESULT]}],
                   [{"role": "assistant", "parts": [part("text", content="Sunny.")], "finish_reason": "stop"}],
                   metadata={"attributes": {"model_request_parameters": {"function_tools": [
                       {"name": "get_weather", "parameters_json_schema": SCHEMA, "description": None}]}}}),
        [S, Q, CALL, ("tool", "20 degrees"), A],
    ),
    "AI SDK": (
        generation(json.dumps([{"role": "user", "content": [part("text", text=ASKED["content"])]}]),
                   json.dumps([SDK_CALL]),
                   modelParameters={"system": "openai.responses"},
                   metadata=json.dumps({"tools": [SDK_TOOL]})),
        [Q, CALL],
    ),
    "Anthropic": (
        generation(json.dumps({"system": [part("text", text="Be brief.")], "messages": [ASKED],
                               "tools": [{"name": "get_weather", "input_schema": SCHEMA}]}),
                   json.dumps({"type": "message", "role": "assistant", "content": [
                       part("thinking", thinking="hm", signature="s"), part("tool_use", id="c1", name="get_weather",
                                                                            input={"city": "Tokyo"})]})),
        [S, Q, CALL],
    ),
    "Koog": (
        generation([ASKED, {"role": "tool", "content": [LC_CALL]}, {"role": "tool", "content": "20 degrees"}],
                   [{"role": "assistant", "content": "Sunny."}], modelParameters={"tools": [TOOL]}),
        [Q, CALL, ("tool", "20 degrees"), A],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LANGFUSE)
def test_downloads_of_langfuse(tmp_path: Path, name: str) -> None:
    record, wanted = LANGFUSE[name]
    found = read(tmp_path / "t.json", langfuse(record))
    (row,) = found.rows
    assert turns(row) == wanted
    assert row.tools is not None
    assert row.tools[0]["function"]["name"] == "get_weather"
    assert row.tools[0]["function"]["parameters"] == SCHEMA
    assert not found.problems


def test_a_generation_around_another_one_is_no_second_row(tmp_path: Path) -> None:
    inner = LANGFUSE["AI SDK"][0] | {"id": "inner", "parentObservationId": "outer"}
    outer = inner | {
        "id": "outer",
        "parentObservationId": None,
        "metadata": "{}",
        "input": {"prompt": ASKED["content"]},
    }
    found = read(tmp_path / "t.json", langfuse(outer, inner))
    assert [bool(row.tools) for row in found.rows] == [True]
    assert found.left_out == {"not a call of a chat model": 1}


def traced(asked: Any, answer: Any, **settings: Any) -> dict[str, dict[str, Any]]:
    """One call in the records of three tools."""
    request = {"input" if "output" in answer else "messages": asked, **settings}
    return {
        "litellm": {"call_type": "aresponses" if "output" in answer else "acompletion", "model": "m", "messages": asked,
                    "model_parameters": settings, "response": answer, "response_cost": 0.1},
        "langsmith": {"run_type": "llm", "inputs": request, "outputs": answer, "extra": {}},
        "langfuse": generation(request, answer, traceId="t"),
    }  # fmt: skip


ANSWERED = {"choices": [{"message": {"content": "Sunny."}}]}
RESULT = {"type": "function_call_output", "call_id": "c1", "output": "20 degrees"}
CALLS = {
    "instructions": (traced([ASKED], response(MESSAGE), instructions="Be brief."), [S, Q, A]),
    "several system turns": (
        traced([{"role": "developer", "content": "You help."}, ASKED], response(MESSAGE), instructions="Be brief."),
        [("system", "Be brief.\n\nYou help."), Q, A],
    ),
    "items": (traced([ASKED, ITEM, RESULT], response(THOUGHT, MESSAGE)), [S, Q, CALL, ("tool", "20 degrees"), A]),
    "a call": (traced([ASKED], response(ITEM), tools=[FLAT]), [S, Q, CALL]),
    "blocks": (
        traced([ASKED], {"choices": [{"message": {"role": "assistant", "content": [
            part("text", text="I look."), part("tool_use", id="c1", name="get_weather", input={"city": "Tokyo"})]}}]},
            tools=[TOOL]),
        [Q, ("assistant", "I look.", CALL[2])],
    ),
    "parts of the answer alone": (
        {tool: record | {key: [part("text", text="I "), part("text", text="look."),
                               part("tool_use", id="c1", name="get_weather", input={"city": "Tokyo"})]}
         for (tool, record), key in zip(traced([ASKED], ANSWERED, tools=[TOOL]).items(),
                                        ("response", "outputs", "output"), strict=True)},
        [Q, ("assistant", "I look.", CALL[2])],
    ),
    "a function call": (
        traced([ASKED, {"role": "assistant", "content": "", "function_call": ITEM},
                {"role": "function", "name": "get_weather", "content": "20 degrees"}],
               {"choices": [{"message": {"content": "Again.", "function_call": ITEM}}]}, functions=[TOOL["function"]]),
        [Q, CALL, ("tool", "20 degrees"), ("assistant", "Again.", CALL[2])],
    ),
    "a completion": (
        traced("The weather is", {"choices": [{"text": " fine"}]}),
        [("user", "The weather is"), ("assistant", " fine")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("tool", ["litellm", "langsmith", "langfuse"])
@pytest.mark.parametrize("name", CALLS)
def test_what_a_call_was_is_read_from_each_tool(tmp_path: Path, name: str, tool: str) -> None:
    records, wanted = CALLS[name]
    found = read(tmp_path / "t.jsonl", records[tool])
    assert found.format == tool
    (row,) = found.rows
    assert turns(row) == wanted
    assert bool(row.tools) is (name != "a completion")


LOST = {
    "kept by the host": traced([ASKED], response(MESSAGE, previous_response_id="resp_0")),
    "it begins with a call of a tool": traced([{"role": "assistant", "tool_calls": [LC_CALL]},
                                               {"role": "tool", "tool_call_id": "c1", "content": "x"}],
                                              ANSWERED),
    "a message without content": traced([{"role": "user", "content": []}], ANSWERED),
    "the turns were joined": traced("system: Be brief.\nuser: Weather?", ANSWERED),
    "a part of type 'image'": traced(
        [{"role": "user", "content": [part("image"), part("tool_result", tool_use_id="c1", content="x")]}], ANSWERED),
    "a list of texts": traced([ASKED], {"choices": [{"message": {"content": ["a", "b"]}}]}),
}  # fmt: skip


@pytest.mark.parametrize("tool", ["litellm", "langsmith", "langfuse"])
@pytest.mark.parametrize("says", LOST)
def test_a_call_of_which_a_part_is_missing_is_no_row(tmp_path: Path, says: str, tool: str) -> None:
    with pytest.raises(ft.DataError, match=says):
        read(tmp_path / "t.jsonl", LOST[says][tool])


@pytest.mark.parametrize("tool", ["litellm", "langsmith", "langfuse"])
def test_an_incomplete_response_is_cut_off(tmp_path: Path, tool: str) -> None:
    cut = response(MESSAGE, status="incomplete", incomplete_details={"reason": "max_output_tokens"})
    with pytest.raises(ft.DataError, match="1 cut off"):
        read(tmp_path / "t.jsonl", traced([ASKED], cut)[tool])


MESSAGES = [{"role": "user", "parts": [part("text", content=ASKED["content"])]}]
SPANS: dict[str, tuple[dict[str, Any], list[tuple[str, ...]]]] = {
    "OpenLLMetry before the conventions": (
        span(**{"gen_ai.system": "OpenAI", "llm.request.type": "chat", "gen_ai.prompt.0.role": "user",
                "gen_ai.prompt.0.content": [part("text", text=ASKED["content"])],
                "gen_ai.prompt.1.role": "assistant", "gen_ai.prompt.1.tool_calls.0.id": "c1",
                "gen_ai.prompt.1.tool_calls.0.name": "get_weather",
                "gen_ai.prompt.1.tool_calls.0.arguments": '{"city": "Tokyo"}',
                "gen_ai.prompt.2.role": "tool", "gen_ai.prompt.2.tool_call_id": "c1",
                "gen_ai.prompt.2.content": "20 degrees",
                "gen_ai.completion.0.role": "assistant", "gen_ai.completion.0.content": "I look.",
                "gen_ai.completion.0.tool_calls.0.id": "c2", "gen_ai.completion.0.tool_calls.0.name": "get_weather",
                "gen_ai.completion.0.tool_calls.0.arguments": '{"city": "Tokyo"}',
                "llm.request.functions.0.name": "get_weather", "llm.request.functions.0.parameters": SCHEMA}),
        [Q, CALL, ("tool", "20 degrees"), ("assistant", "I look.", CALL[2])],
    ),
    "OpenInference": (
        span(**{"openinference.span.kind": "LLM", "llm.model_name": "gpt-4o",
                "llm.input_messages.0.message.role": "user",
                "llm.input_messages.0.message.contents.0.message_content.type": "text",
                "llm.input_messages.0.message.contents.0.message_content.text": ASKED["content"],
                "llm.output_messages.0.message.role": "assistant",
                "llm.output_messages.0.message.tool_calls.0.tool_call.id": "c1",
                "llm.output_messages.0.message.tool_calls.0.tool_call.function.name": "get_weather",
                "llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments": '{"city": "Tokyo"}',
                "llm.tools.0.tool.json_schema": TOOL}),
        [Q, CALL],
    ),
    "AI SDK": (
        span(**{"ai.operationId": "ai.generateText.doGenerate", "gen_ai.request.model": "gpt-4o",
                "ai.prompt.messages": [{"role": "user", "content": [part("text", text=ASKED["content"])]}],
                "ai.response.toolCalls": [SDK_CALL],
                "ai.prompt.tools": [SDK_TOOL]}),
        [Q, CALL],
    ),
    "OpenTelemetry": (
        span(**{"gen_ai.operation.name": "chat", "gen_ai.input.messages": MESSAGES,
                "gen_ai.output.messages": [PARTS_CALL], "gen_ai.tool.definitions": [FLAT]}),
        [Q, CALL],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SPANS)
def test_spans_of_each_convention_after_spans_of_other_work(tmp_path: Path, name: str) -> None:
    record, wanted = SPANS[name]
    other = {"name": "GET /", "attributes": {"http.method": "GET"}, "status": {"status_code": "UNSET"}}
    found = read(tmp_path / "t.jsonl", other, record)
    (row,) = found.rows
    assert turns(row) == wanted
    assert row.tools is not None
    assert row.tools[0]["function"]["parameters"] == SCHEMA
    assert found.left_out == {"not a call of a chat model": 1}


def test_spans_over_many_lines_as_the_console_exporter_writes_them(tmp_path: Path) -> None:
    path = tmp_path / "console.json"
    path.write_text("\n".join(json.dumps(record, indent=4) for record, _ in SPANS.values()) + "\n", encoding="utf-8")
    found = read_traces(path)
    assert len(found.rows) + found.left_out["repeated"] == len(SPANS)


def test_an_answer_without_its_question_is_no_row(tmp_path: Path) -> None:
    """OpenLLMetry leaves out the messages of a question with an image."""
    answer = [{"role": "assistant", "parts": [part("text", content="Sunny.")]}]
    with pytest.raises(ft.DataError, match="what was asked was not recorded"):
        read(tmp_path / "t.jsonl", span(**{"gen_ai.operation.name": "chat", "gen_ai.output.messages": answer}))


@pytest.mark.parametrize("depth", [500, 900, 970, 100_000])
def test_texts_that_nest_without_end_stay_texts(tmp_path: Path, depth: int) -> None:
    nested = "[" * depth + "]" * depth
    for asked in (nested, [{"role": "user", "content": nested}], [{"role": "user", "parts": nested}]):
        try:
            found = read(tmp_path / "t.jsonl", generation(asked, nested, traceId="t"))
        except ft.DataError:
            continue
        assert found.rows[0].messages[-1]["content"] == nested
