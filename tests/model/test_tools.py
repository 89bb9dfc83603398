"""Tools reach the model, and its calls come back as objects."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

import ftkit as ft
from ftkit.backends import OnAnswer
from ftkit.testing import FakeModel

TOOL = {
    "type": "function",
    "function": {"name": "book", "parameters": {"type": "object", "properties": {"room": {"type": "integer"}}}},
}
QUESTION = [{"role": "user", "content": "Book room 4."}]


class Caller:
    """A backend whose model calls the first tool that it is given."""

    name = "caller"
    model = "calls"

    def __init__(self, arguments: str = '{"room": 4}') -> None:
        self.arguments = arguments

    def answerer(self) -> Caller:
        return self

    def known_task(self) -> None:
        return None

    def answer_many(
        self, requests: Sequence[ft.Request], sampling: ft.Sampling, on_answer: OnAnswer | None = None
    ) -> list[ft.Answer]:
        return [self.answer(request) for request in requests]

    def answer(self, request: ft.Request) -> ft.Answer:
        if not request.tools:
            return ft.Answer("There are no tools.", "stop", 5, 3, 0.1)
        function = {"name": request.tools[0]["function"]["name"], "arguments": self.arguments}
        call = {"id": "call_1", "type": "function", "function": function}
        return ft.Answer("", "tool_calls", 5, 3, 0.1, tool_calls=[call])


def model(task: ft.Task[Any], arguments: str = '{"room": 4}') -> ft.Model[Any]:
    return ft.Model(Caller(arguments), task)  # type: ignore[arg-type]


def test_a_call_is_an_object() -> None:
    one = model(ft.Task())
    call = ft.ToolCall("book", {"room": 4}, "call_1")
    assert one.predict(messages=QUESTION, tools=[TOOL]) == [call]
    assert asyncio.run(one.apredict(messages=QUESTION, tools=[TOOL])) == [call]
    assert one.predict(messages=QUESTION) == "There are no tools."
    assert one.predict_many([{"messages": QUESTION, "tools": [TOOL]}, {"messages": QUESTION}]) == [
        [call],
        "There are no tools.",
    ]


def test_a_task_with_a_template_takes_tools_too() -> None:
    assert model(ft.Task("Help.", input="{note}")).predict(note="Book.", tools=[TOOL])[0].name == "book"


def test_a_column_named_tools_that_the_template_reads_is_a_column() -> None:
    one = model(ft.Task("Which of {tools} is best?", input="{tools}"))
    assert one.predict(tools="hammer, saw") == "There are no tools."


def test_a_bare_function_is_put_into_openais_form() -> None:
    one = FakeModel(ft.Task(), {"Book.": [ft.ToolCall(name="book", arguments={"day": "Monday"})]})
    one.predict(messages=[{"role": "user", "content": "Book."}], tools=[{"name": "book", "parameters": {}}])
    assert one.requests[0].tools == [{"type": "function", "function": {"name": "book", "parameters": {}}}]


@pytest.mark.parametrize("tools", ["book", [3], {"type": "function"}, [{"description": "no name"}]])
def test_other_tools_are_refused(tools: Any) -> None:
    with pytest.raises(ft.ConfigError, match="tools is a list of functions in OpenAI's form"):
        model(ft.Task()).predict(messages=QUESTION, tools=tools)


@pytest.mark.parametrize(("arguments", "says"), [("{", "are not JSON"), ("[1]", "are no object")])
def test_arguments_that_are_no_object_are_an_output_error(arguments: str, says: str) -> None:
    one = model(ft.Task(), arguments)
    with pytest.raises(ft.OutputError, match=says) as caught:
        one.predict(messages=QUESTION, tools=[TOOL])
    assert caught.value.text == arguments
    [error] = one.predict_many([{"messages": QUESTION, "tools": [TOOL]}], on_error="return")
    assert isinstance(error, ft.OutputError)
