"""D008–D010: what is wrong with calls of tools."""

from __future__ import annotations

import json
from typing import Any

import ftkit as ft

TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}


def chat(arguments: Any, name: str = "weather", tools: list[Any] | None = None) -> dict[str, Any]:
    call = {"id": "c", "type": "function", "function": {"name": name, "arguments": arguments}}
    turns = [{"role": "user", "content": "q"}, {"role": "assistant", "tool_calls": [call]}]
    return {"messages": turns, **({} if tools is None else {"tools": tools})}


def messages(report: ft.LintReport, code: str) -> list[tuple[int | None, str, str | None]]:
    return [(found.line, found.message, found.path) for found in report[code]]


def test_arguments_that_are_no_object_are_found(chats: Any) -> None:
    given = [
        '{"city": "Bonn"}',
        '{"city": "Bo',
        json.dumps('{"city": "Bonn"}'),
        '["Bonn"]',
        "",
        "{}",
        "3",
        '{"city": "x", "city": "y"}',
        '{"city": NaN}',
    ]
    report = ft.lint(chats(*(chat(arguments) for arguments in given)), select=["D008", "D009", "D010"])
    assert {count.code for count in report.counts} == {"D008"}
    found = messages(report, "D008")
    assert [line for line, _, _ in found] == [2, 3, 4, 7, 8, 9]
    assert [text.split("'weather' ")[1][:18] for _, text, _ in found] == [
        "are not JSON: it e",
        "are JSON inside a ",
        "are a list, not a ",
        "are a number, not ",
        "are no JSON object",
        "are no JSON object",
    ]
    assert found[0][2] == "messages[1].tool_calls[0].function.arguments"


def test_a_call_to_a_function_that_is_not_offered_is_found(chats: Any) -> None:
    rows = [chat("{}", "wheather", [TOOL]), chat('{"city": "x"}', "weather", [TOOL]), chat("{}", "anything")]
    report = ft.lint(chats(*rows), select=["D009"])
    assert messages(report, "D009") == [
        (1, "'wheather' is not among the tools (weather)", "messages[1].tool_calls[0].function.name")
    ]


def test_arguments_against_the_schema_are_found(chats: Any) -> None:
    given = ['{"city": "Bonn", "days": 3}', "{}", '{"city": "Bonn", "days": "3"}', '{"city": "Bonn", "hours": 3}']
    report = ft.lint(chats(*(chat(arguments, tools=[TOOL]) for arguments in given)), select=["D010"])
    start = "the arguments of 'weather' do not match its schema: "
    assert [(line, text.removeprefix(start)) for line, text, _ in messages(report, "D010")] == [
        (2, "'city' is a required property at $"),
        (3, "'3' is not of type 'integer' at $.days"),
        (4, "Additional properties are not allowed ('hours' was unexpected) at $"),
    ]


def test_a_malformed_schema_of_a_function_is_left_alone(chats: Any) -> None:
    for parameters in ({"type": "nothing"}, {}, None, {"$ref": "https://example.com/a.json"}):
        tool = {"type": "function", "function": {"name": "weather", "parameters": parameters}}
        assert not ft.lint(chats(chat("{}", tools=[tool])), select=["D010"]).findings


def test_an_empty_list_of_tools_offers_none(chats: Any) -> None:
    report = ft.lint(chats(chat("{}", tools=[])), select=["D009"])
    assert [text for _, text, _ in messages(report, "D009")] == ["'weather' is not among the tools (there are none)"]
