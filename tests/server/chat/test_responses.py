"""``/v1/responses`` through the official client, over a real socket."""

from __future__ import annotations

import json
import sqlite3
import time
from typing import Any, Literal

import httpx
import openai
import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import BaseModel, TypeAdapter

from ftkit.server.errors import ApiError
from ftkit.server.responses.response_table import ResponseTable

NOTE = "Aspirin for 3 days."
TOOL = {
    "type": "function",
    "name": "reserve",
    "description": "Reserve a bed.",
    "parameters": {
        "type": "object",
        "properties": {"number": {"enum": [4, 5, 12]}},
        "required": ["number"],
        "additionalProperties": False,
    },
    "strict": True,
}
LOOSE = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}
EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


class Bed(BaseModel):
    number: Literal[4, 5, 12]
    ward: Literal["A", "B"]


def ask(client: Any, given: Any = NOTE, **options: Any) -> Any:
    options = {"temperature": 0, "max_output_tokens": 12} | options
    return client.responses.create(model="tiny", input=given, **options)


def chat(client: Any, messages: Any, **options: Any) -> str:
    options = {"temperature": 0, "max_completion_tokens": 12} | options
    return str(client.chat.completions.create(model="tiny", messages=messages, **options).choices[0].message.content)


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def test_a_response_says_what_a_chat_completion_says(served):
    reply = ask(served.client, instructions="You read notes.")
    assert reply.output_text == chat(served.client, [{"role": "system", "content": "You read notes."}, user(NOTE)])
    assert reply.status == "incomplete"
    assert reply.incomplete_details.reason == "max_output_tokens"
    assert reply.usage.output_tokens == 12
    assert reply.usage.total_tokens == reply.usage.input_tokens + 12
    assert Response.model_validate(reply.to_dict()).id.startswith("resp_")
    parts = [{"role": "user", "content": [{"type": "input_text", "text": NOTE}], "type": "message"}]
    assert ask(served.client, parts).output_text == ask(served.client).output_text


def test_a_conversation_goes_on_from_a_stored_response(served):
    first = ask(served.client)
    second = ask(served.client, "And then?", previous_response_id=first.id)
    third = ask(served.client, "And now?", previous_response_id=second.id, store=False)
    turns = [user(NOTE)]
    for reply, question in ((first, "And then?"), (second, "And now?")):
        turns += [{"role": "assistant", "content": reply.output_text}, user(question)]
    assert second.output_text == chat(served.client, turns[:3])
    assert third.output_text == chat(served.client, turns)
    assert second.previous_response_id == first.id
    # The same without the store: the client sends all items along.
    items = [user(NOTE), *(item.to_dict() for item in first.output), user("And then?")]
    assert ask(served.client, items, store=False).output_text == second.output_text
    for gone in (third.id, "resp_none"):
        with pytest.raises(openai.BadRequestError, match="not found") as caught:
            ask(served.client, previous_response_id=gone)
        assert caught.value.code == "previous_response_not_found"


def test_stored_responses_are_listed_and_deleted(served):
    reply = ask(served.client, [user("one"), user("two")], metadata={"a": "b"})
    again = served.client.responses.retrieve(reply.id)
    assert again.to_dict() == reply.to_dict()
    items = served.client.responses.input_items.list(reply.id, order="asc", limit=1)
    assert [item.content[0].text for item in items] == ["one", "two"]
    served.client.responses.delete(reply.id)
    for call in (served.client.responses.retrieve, served.client.responses.delete):
        with pytest.raises(openai.NotFoundError):
            call(reply.id)
    assert not ask(served.client, store=False).store
    home = served.app.state.state.store.folder / "server.sqlite3"
    with sqlite3.connect(home) as connection:
        assert not connection.execute("SELECT 1 FROM responses WHERE id = ?", (reply.id,)).fetchall()


def test_the_events_of_a_text_come_in_openais_order(served):
    whole = ask(served.client)
    events = list(ask(served.client, stream=True))
    kinds = [event.type for event in events]
    final = events[-1].response
    assert [kind for kind in kinds if kind != "response.output_text.delta"] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.incomplete",
    ]
    assert final.output_text == whole.output_text
    assert served.client.responses.retrieve(final.id).output_text == whole.output_text
    body = {"model": "tiny", "input": NOTE, "temperature": 0, "max_output_tokens": 4, "stream": True}
    with httpx.stream("POST", f"{served.url}/v1/responses", json=body, timeout=60) as answer:
        lines = [line for line in answer.iter_lines() if line]
    names = [line.removeprefix("event: ") for line in lines[::2]]
    events = [json.loads(line.removeprefix("data: ")) for line in lines[1::2]]
    assert [event["type"] for event in events] == names
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    for event in events:
        EVENT.validate_python(event)


def test_structured_output_is_parsed_by_the_official_client(served):
    parsed = served.client.responses.parse(model="tiny", input=NOTE, text_format=Bed, max_output_tokens=60)
    assert isinstance(parsed.output_parsed, Bed)
    assert parsed.text.format.name == "Bed"
    with pytest.raises(openai.BadRequestError, match=r"text\.format"):
        ask(served.client, text={"format": {"type": "json_schema", "name": "x", "schema": {"type": "strange"}}})


@pytest.mark.parametrize("stream", [False, True])
def test_tools_are_called_and_answered(served, stream):
    options = {"tools": [TOOL], "tool_choice": "required", "parallel_tool_calls": False, "max_output_tokens": 60}
    if stream:
        with served.client.responses.stream(model="tiny", input=NOTE, temperature=0, **options) as events:
            kinds = [event.type for event in events]
            reply = events.get_final_response()
        assert kinds[2] == "response.output_item.added"
        assert "response.function_call_arguments.delta" in kinds
        assert kinds[-3:] == [
            "response.function_call_arguments.done",
            "response.output_item.done",
            "response.completed",
        ]
    else:
        reply = ask(served.client, **options)
    (call,) = reply.output
    assert (call.type, call.name, call.status) == ("function_call", "reserve", "completed")
    assert json.loads(call.arguments)["number"] in (4, 5, 12)
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "reserved"}
    after = ask(served.client, [result], previous_response_id=reply.id, tools=[TOOL], tool_choice="none")
    assert after.output[0].type == "message"
    same = ask(served.client, [user(NOTE), call.to_dict(), result], tools=[TOOL], tool_choice="none")
    assert same.output_text == after.output_text
    with pytest.raises(openai.BadRequestError, match="each call must be followed"):
        ask(served.client, "no answer to the call", previous_response_id=reply.id)
    named = {"type": "function", "name": "reserve"}
    assert ask(served.client, **options | {"tool_choice": named}).output[0].name == "reserve"


def test_log_probabilities_are_included_on_request(served):
    reply = ask(served.client, include=["message.output_text.logprobs"], top_logprobs=2, max_output_tokens=3)
    (part,) = reply.output[0].content
    assert [len(token.top_logprobs) for token in part.logprobs] == [2, 2, 2]
    assert Response.model_validate(reply.to_dict())


def raw(served: Any, method: str, path: str, **body: Any) -> httpx.Response:
    return httpx.request(method, f"{served.url}/v1/{path}", json=body or None, timeout=60)


def test_items_of_stored_responses_are_named_without_repeating_them(served):
    """Vercel's AI SDK sends every earlier answer so."""
    options = {"tools": [TOOL], "tool_choice": "required", "parallel_tool_calls": False, "max_output_tokens": 60}
    (call,) = ask(served.client, **options).output
    done = {"type": "function_call_output", "call_id": call.call_id, "output": "done"}
    whole = ask(served.client, [user(NOTE), call.to_dict(), done])
    for reference in ({"type": "item_reference", "id": call.id}, {"id": call.id}):
        assert ask(served.client, [user(NOTE), reference, done]).output_text == whole.output_text
    text = whole.output[0]
    turns = [user(NOTE), {"type": "item_reference", "id": text.id}, user("And then?")]
    named = ask(served.client, turns)
    assert named.output_text == ask(served.client, [turns[0], text.to_dict(), turns[2]], store=False).output_text
    listed = served.client.responses.input_items.list(named.id, order="asc")
    assert [item.id for item in listed][1] == text.id
    served.client.responses.delete(whole.id)
    served.client.responses.delete(named.id)
    with pytest.raises(openai.NotFoundError, match=f"Item with id '{text.id}' not found"):
        ask(served.client, turns)


def test_a_chain_may_be_long_and_one_gone_link_ends_it(served, monkeypatch):
    """As many links as one test can make without asking the model each time."""
    table = ResponseTable(served.app.state.state)
    links = [f"resp_chain{number}" for number in range(500)]
    turn = json.dumps([user("a"), {"role": "assistant", "content": "b"}])
    with served.app.state.state.connection() as connection:
        connection.executemany(
            "INSERT INTO responses (id, project, created_at, previous_id, record, items, messages) "
            "VALUES (?, 'default', ?, ?, '{}', '[]', ?)",
            [(link, int(time.time()), before, turn) for before, link in zip([None, *links], links, strict=False)],
        )
    assert len(table.conversation(links[-1], "default")) == 1000
    with pytest.raises(ApiError, match="not found"):
        table.conversation(links[-1], "other")
    monkeypatch.setattr("ftkit.server.responses.response_table._MAX_CHARACTERS", 1_000)
    with pytest.raises(ApiError, match="more than 1,000 characters"):
        table.conversation(links[-1], "default")
    monkeypatch.undo()
    table.delete(links[250], "default")
    with pytest.raises(ApiError, match=f"'{links[250]}' not found"):
        table.conversation(links[-1], "default")
    assert len(table.conversation(links[249], "default")) == 500


def test_large_responses_make_room(served, monkeypatch):
    table = ResponseTable(served.app.state.state)
    monkeypatch.setattr("ftkit.server.responses.response_table._MOST_BYTES", 10_000)
    for number in range(4):
        response = {"id": f"resp_large{number}", "previous_response_id": None, "output": []}
        table.add("hoarder", response, [], [user("x" * 4_000)])
    for number, there in enumerate((False, False, True, True)):
        if there:
            assert table.get(f"resp_large{number}", "hoarder")
        else:
            with pytest.raises(ApiError, match="No such response"):
                table.get(f"resp_large{number}", "hoarder")
    with sqlite3.connect(served.app.state.state.store.folder / "server.sqlite3") as connection:
        for kept in ("response_sizes", "response_items"):
            query = f"SELECT count(*) FROM {kept} WHERE response_id NOT IN (SELECT id FROM responses)"
            assert connection.execute(query).fetchone() == (0,)


def test_input_tokens_are_those_of_the_response(served):
    """``responses.input_tokens.count`` of the official client: what the same request would be charged."""
    first = ask(served.client)
    for options in (
        {"input": NOTE},
        {"input": [user(NOTE)], "instructions": "You read notes.", "tools": [TOOL]},
        {"input": "And then?", "previous_response_id": first.id},
    ):
        counted = served.client.responses.input_tokens.count(model="tiny", **options)
        assert counted.object == "response.input_tokens"
        given = options.pop("input")
        assert counted.input_tokens == ask(served.client, given, max_output_tokens=1, **options).usage.input_tokens
    with pytest.raises(openai.BadRequestError) as caught:
        served.client.responses.input_tokens.count(model="tiny", input=NOTE, tools=[TOOL, TOOL])
    assert caught.value.param == "tools[1].name"


def test_compaction_is_refused_by_name(served):
    with pytest.raises(openai.BadRequestError) as caught:
        served.client.responses.compact(model="tiny", input=NOTE)
    assert caught.value.code == "unsupported_endpoint"
    assert "/v1/responses/compact" in str(caught.value)


def test_padded_streams_hide_the_length_of_the_text(served):
    stream = ask(served.client, stream=True, stream_options={"include_obfuscation": True})
    deltas = [event for event in stream if event.type == "response.output_text.delta"]
    assert deltas
    assert all(event.model_extra["obfuscation"] is not None for event in deltas)


@pytest.mark.parametrize(
    ("method", "path", "status", "param"),
    [
        ("GET", "responses/{}?stream=true", 400, "stream"),
        ("GET", "responses/{}?starting_after=3", 400, "starting_after"),
        ("GET", "responses/{}?include[]=file_search_call.results", 400, "include"),
        ("GET", "responses/{}?include=message.output_text.logprobs&stream=false", 200, None),
        ("POST", "responses/{}/cancel", 400, None),
        ("POST", "responses/none/cancel", 404, "id"),
        ("GET", "responses/{}/input_items?after=none", 400, "after"),
        ("GET", "responses/{}/input_items?before=none", 400, "before"),
        ("GET", "responses/{}/input_items?api-version=1", 200, None),
        ("GET", "files?before=file-1", 400, "before"),
        ("GET", "fine_tuning/jobs?before=ftjob-1", 400, "before"),
        ("GET", "fine_tuning/jobs?metadata[team]=a", 200, None),
        ("GET", "models?limit=1", 400, "limit"),
        ("GET", "models?client_version=1.0", 200, None),
    ],
)
def test_queries_are_honoured_or_refused(served, method, path, status, param):
    answer = raw(served, method, path.format(ask(served.client).id))
    assert (answer.status_code, (answer.json().get("error") or {}).get("param")) == (status, param)


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"input": []}, "input"),
        ({"input": [3]}, "input[0]"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]}, "input[0].content[0]"),
        ({"input": [{"type": "computer_call"}]}, "input[0].type"),
        ({"input": [{"type": "reasoning", "summary": [], "encrypted_content": "x"}]}, "input[0].encrypted_content"),
        ({"input": [{"role": "user", "content": "x", "colour": 1}]}, "input[0].colour"),
        ({"input": [{"role": "user", "content": "x", "id": "i" * 201}]}, "input[0].id"),
        ({"input": [{"role": "user", "content": "x", "status": "odd"}]}, "input[0].status"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_text", "text": "x", "colour": 1}]}]},
            "input[0].content[0].colour",
        ),
        ({"input": [{"type": "item_reference", "id": 3}]}, "input[0].id"),
        ({"input": [{"type": "item_reference", "id": "x", "colour": 1}]}, "input[0].colour"),
        ({"metadata": {"k": "v" * 513}}, "metadata"),
        ({"metadata": {"k" * 65: "v"}}, "metadata"),
        ({"user": "u" * 513}, "user"),
        ({"text": {"format": {"type": "text", "schema": {}}}}, "text.format"),
        ({"stream_options": {"include_obfuscation": True}}, "stream_options"),
        ({"input": [{"type": "function_call", "name": "f", "arguments": "{}"}]}, "input[0].call_id"),
        ({"input": [{"type": "function_call_output", "call_id": "c", "output": "x"}]}, "input"),
        ({"tools": [{"type": "web_search"}]}, "tools.0.type"),
        ({"tools": [TOOL, TOOL]}, "tools[1].name"),
        ({"tools": [LOOSE | {"parameters": {"type": "object", "properties": 3}}]}, "tools[0].parameters"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"reasoning": {"effort": "high"}}, "reasoning.effort"),
        ({"include": ["file_search_call.results"]}, "include"),
        ({"background": True}, "background"),
        ({"truncation": "auto"}, "truncation"),
        ({"colour": "red"}, "colour"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"max_output_tokens": 10**7}, "input"),
        ({"temperature": 3}, "temperature"),
        ({"top_logprobs": 30}, "top_logprobs"),
        ({"model": "none"}, "model"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(served, options, param):
    body = {"model": "tiny", "input": NOTE, "max_output_tokens": 2} | options
    answer = httpx.post(f"{served.url}/v1/responses", json=body, timeout=60)
    assert answer.status_code in (400, 404)
    assert answer.json()["error"]["param"] == param


def test_a_project_sees_its_own_responses_only(served):
    state = served.app.state.state
    reply = ask(served.client)
    with state.connection() as connection:
        connection.execute("UPDATE responses SET project = 'another' WHERE id = ?", (reply.id,))
    with pytest.raises(openai.NotFoundError):
        served.client.responses.retrieve(reply.id)
    with pytest.raises(openai.NotFoundError):
        served.client.responses.delete(reply.id)
    with pytest.raises(openai.BadRequestError, match="not found"):
        ask(served.client, previous_response_id=reply.id)


def test_old_responses_make_room(served, monkeypatch):
    monkeypatch.setattr("ftkit.server.responses.response_table._MOST", 2)
    first, *_ = [ask(served.client, max_output_tokens=1) for _ in range(3)]
    with pytest.raises(openai.NotFoundError):
        served.client.responses.retrieve(first.id)


def test_what_needs_no_store_is_answered_on_a_full_disk(served, monkeypatch):
    monkeypatch.setattr(type(served.app.state.state), "disk_is_full", lambda self: True)
    with pytest.raises(openai.InternalServerError, match="store=false"):
        ask(served.client)
    assert ask(served.client, store=False).output_text
