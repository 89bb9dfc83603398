"""What a model thinks before it answers has a field of its own, streamed or not."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import httpx
import openai
import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from ftkit.inference.protocol import Finished, TokenEvent
from ftkit.inference.service import ServedModel
from ftkit.modeling.thought_stream import ThoughtSplitter

QWEN = "{% if '</think>' in content %}"
"""What of a template says that it knows thoughts."""
EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)

WRITTEN = [
    ("<think>\nHm, 4 < 5.\n\n</think>\n\nTwo.", None, "Hm, 4 < 5.", "Two."),
    (" <think></think>Two.", None, "", "Two."),
    ("Two. <think>no</think>", None, "", "Two. <think>no</think>"),
    ("<reasoning>a</reasoning>\n<answer>b</answer>", None, "", "<reasoning>a</reasoning>\n<answer>b</answer>"),
    ("<think>cut o", None, "cut o", ""),
    ("  < 5", None, "", "  < 5"),
    ("Hm.\n</think>\n\nTwo. </think>", "<think>", "Hm.", "Two. </think>"),
    ("\n<think>\nHm.\n</think>Two.", "<think>", "Hm.", "Two."),
    ("\n</think>\n\nTwo.", "<think>", "", "Two."),
    ("Two.", "<think>", "Two.", "Two."),
    ("", "<think>", "", ""),
]


def cuts(text: str) -> Iterator[list[str]]:
    """The text by characters, whole, and in two pieces everywhere."""
    yield list(text)
    for place in range(len(text) + 1):
        yield [text[:place], text[place:]]


@pytest.mark.parametrize(("text", "opened", "thought", "answer"), WRITTEN)
def test_a_thought_is_split_off_however_the_text_is_cut(text: str, opened: Any, thought: str, answer: str) -> None:
    for pieces in cuts(text):
        splitter = ThoughtSplitter(QWEN, opened)
        parts = [*map(splitter.push, pieces), splitter.end()]
        assert "".join(part.thought for part in parts) == thought, pieces
        assert "".join(part.answer for part in parts) == answer, pieces
        assert not splitter.inside


def test_a_long_thought_is_split_in_linear_time() -> None:
    splitter = ThoughtSplitter(QWEN, "<think>")
    parts = [splitter.push("word </thin") for _ in range(20_000)] + [splitter.push("k>x"), splitter.end()]
    assert "".join(part.thought for part in parts) == "word </thin" * 19_999 + "word"
    assert "".join(part.answer for part in parts) == "x"


@pytest.fixture
def thinking(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Lets the served model write a text."""

    def write(text: str, opened: str | None = None) -> None:
        def add(model: ServedModel, request: Any, on_event: Any) -> None:
            loop = asyncio.get_running_loop()
            places = [*range(0, len(text), 3), len(text)]
            for start, end in pairwise(places):
                loop.call_soon(on_event, TokenEvent(1, -0.5, -0.5, text=text[start:end]))
            loop.call_soon(on_event, Finished("stop", len(places) - 1, 0, 0.1))

        monkeypatch.setattr(ServedModel, "add", add)
        monkeypatch.setattr(ServedModel, "cancel", lambda *arguments: None)
        monkeypatch.setattr(ServedModel, "thought_splitter", lambda model: ThoughtSplitter(QWEN, opened))

    return write


MESSAGES = [{"role": "user", "content": "One?"}]
FUNCTION = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}


@pytest.mark.parametrize(("text", "opened", "thought", "answer"), WRITTEN)
def test_a_stream_says_what_the_whole_reply_says(
    served: Any, thinking: Any, text: str, opened: Any, thought: str, answer: str
) -> None:
    thinking(text, opened)
    create = served.client.chat.completions.create
    whole = create(model="tiny", messages=MESSAGES)
    message = whole.choices[0].message
    assert (message.content, getattr(message, "reasoning_content", "")) == (answer, thought)
    assert whole.usage.completion_tokens_details.reasoning_tokens > 0 or not thought
    deltas = [chunk.choices[0].delta for chunk in create(model="tiny", messages=MESSAGES, stream=True)]
    assert "".join(delta.content or "" for delta in deltas) == answer
    assert "".join(getattr(delta, "reasoning_content", "") for delta in deltas) == thought
    # The older API has no place for a thought.
    assert served.client.completions.create(model="tiny", prompt="One?").choices[0].text == text


def test_calls_after_a_thought_are_calls(served: Any, thinking: Any) -> None:
    call = '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>'
    thinking(f"<think>I could write <tool_call> now.</think>{call}")
    message = (
        served.client.chat.completions.create(model="tiny", messages=MESSAGES, tools=[FUNCTION]).choices[0].message
    )
    assert message.tool_calls[0].function.name == "f"
    assert message.reasoning_content == "I could write <tool_call> now."


def test_a_response_has_a_reasoning_item_that_goes_on(served: Any, thinking: Any) -> None:
    thinking("<think>Hm.</think>Two.")
    create = served.client.responses.create
    reply = create(model="tiny", input="One?")
    assert [item.type for item in reply.output] == ["reasoning", "message"]
    assert (reply.output[0].content[0].text, reply.output_text) == ("Hm.", "Two.")
    assert reply.usage.output_tokens_details.reasoning_tokens > 0
    Response.model_validate(reply.to_dict())
    events = list(create(model="tiny", input="One?", stream=True))
    for event in events:
        EVENT.validate_python(event.to_dict())
    kinds = [event.type for event in events if not event.type.endswith("text.delta")]
    item = ["output_item.added", "content_part.added", "{}.done", "content_part.done", "output_item.done"]
    expected = ["created", "in_progress", *item, *item, "completed"]
    names = iter(("reasoning_text", "output_text"))
    expected = [next(names) + ".done" if kind == "{}.done" else kind for kind in expected]
    assert kinds == [f"response.{kind}" for kind in expected]
    said = [event.delta for event in events if event.type == "response.reasoning_text.delta"]
    assert "".join(said) == "Hm."
    assert events[-1].response.output_text == "Two."
    # Clients that keep the conversation send all items back, and those that do not name the response.
    again = [{"role": "user", "content": "One?"}, *(one.to_dict() for one in reply.output)]
    again.append({"role": "user", "content": "And?"})
    assert create(model="tiny", input=again).output_text == "Two."
    assert create(model="tiny", input="And?", previous_response_id=reply.id).output_text == "Two."
    kept = served.client.responses.input_items.list(create(model="tiny", input=again).id, order="asc")
    assert [one.type for one in kept] == ["message", "reasoning", "message", "message"]


def test_reasoning_is_taken_back_from_assistants_only(served: Any, thinking: Any) -> None:
    thinking("Two.")
    create = served.client.chat.completions.create
    turns = [*MESSAGES, {"role": "assistant", "content": "Two.", "reasoning_content": "Hm."}, *MESSAGES]
    assert create(model="tiny", messages=turns).choices[0].message.content == "Two."
    with pytest.raises(openai.BadRequestError, match="only assistant messages may have reasoning_content"):
        create(model="tiny", messages=[{**MESSAGES[0], "reasoning_content": "Hm."}])
    huge = [*MESSAGES, {"role": "assistant", "content": "Two.", "reasoning_content": "a " * 1_000_000}, *MESSAGES]
    with pytest.raises(openai.BadRequestError) as caught:
        create(model="tiny", messages=huge)
    assert caught.value.code == "context_length_exceeded"


@pytest.mark.parametrize(
    ("item", "param"),
    [
        ({"type": "reasoning", "content": [{"type": "text", "text": "x"}]}, "input[0].content[0]"),
        ({"type": "reasoning", "summary": "x"}, "input[0].summary"),
        ({"type": "reasoning", "summary": [], "encrypted_content": "x"}, "input[0].encrypted_content"),
    ],
)
def test_reasoning_that_cannot_be_read_is_refused_by_name(served: Any, item: dict[str, Any], param: str) -> None:
    body = {"model": "tiny", "input": [item, {"role": "user", "content": "x"}]}
    answer = httpx.post(f"{served.url}/v1/responses", json=body, timeout=60)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
