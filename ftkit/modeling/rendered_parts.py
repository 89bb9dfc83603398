"""Find out which parts of a conversation a chat template renders, and which it leaves out.

The conversation is rendered once more with a character of a private-use plane before and after each part. If the text
without these characters is the same as before, a part was rendered whole exactly if both of its characters are there.
If the template reacts to the characters, the text is searched for the parts instead.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from ftkit.errors import ModelError

__all__ = ["REASONING", "THOUGHT_TAGS", "Part", "find_parts", "has_thought", "knows_thoughts", "split_thought"]

REASONING = ("reasoning_content", "reasoning", "thinking")
"""Keys of a message that hold what a model thinks before it answers, in the terms of several servers and templates."""

THOUGHT_TAGS = {
    "<think>": "</think>",
    "<thinking>": "</thinking>",
    "<thought>": "</thought>",
    "<reasoning>": "</reasoning>",
    "<seed:think>": "</seed:think>",
    "[THINK]": "[/THINK]",
    "<|START_THINKING|>": "<|END_THINKING|>",
    "<|begin_of_thought|>": "<|end_of_thought|>",
}
"""What models write before and after a thought."""

PartKind = Literal["content", "thought", "reasoning", "call", "tool", "name"]

_WRITTEN = ("content", "thought", "reasoning")
"""Kinds of parts that a template writes as they are. Calls and tools may be rendered in any notation."""
_FIRST, _LAST = 0xF0000, 0xFFFFD
_MARKS = re.compile(f"[{chr(_FIRST)}-{chr(_LAST)}]")


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a conversation.

    Attributes:
        field: its place, e.g. ``messages[1].content``.
        kind: ``thought`` is a thought that is written in the content, ``reasoning`` one in a key of its own.
        message: index of its message; None for tools.
        text: its text, without the blanks around it.
        found: whether the template renders it.
        after: the rendered text behind it; None if its place is not known.
        rendered_as: what stands in its place, if that is another text, e.g. in capital letters; else None.
    """

    field: str
    kind: PartKind
    message: int | None
    text: str
    found: bool = False
    after: str | None = None
    rendered_as: str | None = None


def find_parts(
    messages: Sequence[dict[str, Any]],
    tools: Sequence[dict[str, Any]] | None,
    plain: str,
    render: Callable[[Sequence[dict[str, Any]], Sequence[dict[str, Any]] | None], str],
) -> list[Part]:
    """Find each part of a conversation in its rendered text.

    Args:
        messages: the conversation in the template's form.
        tools: the tools offered.
        plain: its rendered text.
        render: renders messages and tools in the same way.

    Returns:
        The parts that are not blank, in their order.
    """
    for keys in (True, False):
        marker = _Marker(keys)
        marked = [marker.message(index, message) for index, message in enumerate(messages)]
        marked_tools = None if tools is None else [marker.tool(index, tool) for index, tool in enumerate(tools)]
        if _MARKS.search(plain) or 2 * len(marker.parts) > _LAST - _FIRST:
            continue
        try:
            text = render(marked, marked_tools)
        except ModelError:
            continue
        if _MARKS.sub("", text) == plain:
            found = _with_aliases([_located(part, number, text) for number, part in enumerate(marker.parts)])
            return found if keys else found + _searched_parameters(tools or (), plain)
    return _with_aliases(_searched(marker.parts, plain)) + _searched_parameters(tools or (), plain)


def split_thought(text: str) -> tuple[str, str, str] | None:
    """Split a text that begins with a thought.

    Args:
        text: the text of an assistant's message.

    Returns:
        What is before the thought (blanks and the opening tag, which may be missing), the thought, and what follows;
        None if there is no thought.
    """
    body = text.lstrip()
    for opening, closing in THOUGHT_TAGS.items():
        end = text.find(closing)
        if end < 0:
            continue
        begin = len(text) - len(body) + len(opening) if body.startswith(opening) else 0
        return text[:begin], text[begin:end], text[end:]
    return None


def knows_thoughts(template: str) -> bool:
    """Say whether a chat template is that of a model that may think before it answers.

    Args:
        template: the template's source.

    Returns:
        Whether it writes the tag of a thought.
    """
    return any(tag in template for tag in THOUGHT_TAGS)


def has_thought(message: Mapping[str, Any]) -> bool:
    """Say whether a message holds a thought, in its content or in a key of its own.

    Args:
        message: the message.

    Returns:
        Whether it does.
    """
    content = message.get("content")
    texts = [part["text"] for part in content] if isinstance(content, list) else [content]
    in_content = message.get("role") == "assistant" and any(
        isinstance(text, str) and split_thought(text) is not None for text in texts
    )
    return in_content or any(message.get(key) for key in REASONING)


class _Marker:
    """Writes the marks, and lists the parts."""

    def __init__(self, keys: bool) -> None:
        self._keys = keys
        self.parts: list[Part] = []

    def message(self, index: int, message: dict[str, Any]) -> dict[str, Any]:
        field, changed = f"messages[{index}]", dict(message)
        for key in REASONING:
            if isinstance(message.get(key), str):
                changed[key] = self._text(message[key], f"{field}.{key}", "reasoning", index)
        if isinstance(message.get("name"), str) and message.get("role") != "tool":  # a result names its call again
            changed["name"] = self._text(message["name"], f"{field}.name", "name", index)
        content = message.get("content")
        if isinstance(content, str):
            changed["content"] = self._content(content, message.get("role"), f"{field}.content", index)
        elif isinstance(content, list):
            changed["content"] = [
                {**part, "text": self._content(part["text"], message.get("role"), f"{field}.content", index)}
                for part in content
            ]
        if message.get("tool_calls"):
            changed["tool_calls"] = [
                self._call(call, f"{field}.tool_calls[{number}]", index)
                for number, call in enumerate(message["tool_calls"])
            ]
        return changed

    def tool(self, index: int, tool: dict[str, Any]) -> dict[str, Any]:
        function = tool.get("function")
        if not isinstance(function, Mapping):
            return tool
        field, changed = f"tools[{index}].function", dict(function)
        for key in ("name", "description"):
            if isinstance(function.get(key), str):
                changed[key] = self._text(function[key], f"{field}.{key}", "tool", None)
        if self._keys and _properties(tool):
            parameters, names = function["parameters"], {}
            for name in parameters["properties"]:
                first = min(_FIRST + 2 * len(self.parts), _LAST - 1)
                self.parts.append(Part(f"{field}.parameters.{name}", "tool", None, name))
                names[name] = f"{name}{chr(first)}{chr(first + 1)}"  # behind the name, so that it is sorted as before
            renamed = {names[name]: schema for name, schema in parameters["properties"].items()}
            changed["parameters"] = {**parameters, "properties": renamed}
            if isinstance(parameters.get("required"), list):
                required = [names.get(name, name) if isinstance(name, str) else name for name in parameters["required"]]
                changed["parameters"]["required"] = required
        return {**tool, "function": changed}

    def _content(self, text: str, role: Any, field: str, index: int) -> str:
        split = split_thought(text) if role == "assistant" else None
        if split is None:
            return self._text(text, field, "content", index)
        before, thought, rest = split
        closing = next(tag for tag in THOUGHT_TAGS.values() if rest.startswith(tag))
        thought = self._text(thought, field, "thought", index)
        return before + thought + closing + self._text(rest[len(closing) :], field, "content", index)

    def _call(self, call: dict[str, Any], field: str, index: int) -> dict[str, Any]:
        function = dict(call.get("function") or {})
        if isinstance(function.get("name"), str):
            function["name"] = self._text(function["name"], f"{field}.function.name", "call", index)
        arguments, name = function.get("arguments"), f"{field}.function.arguments"
        if isinstance(arguments, Mapping):
            function["arguments"] = {
                self._text(key, name, "call", index) if self._keys else key: self._value(value, name, index)
                for key, value in arguments.items()
            }
        elif isinstance(arguments, str):
            function["arguments"] = self._text(arguments, name, "call", index)
        return {**call, "function": function}

    def _value(self, value: Any, field: str, index: int) -> Any:
        if isinstance(value, str):
            return self._text(value, field, "call", index)
        if isinstance(value, Mapping):
            return {key: self._value(item, field, index) for key, item in value.items()}
        return [self._value(item, field, index) for item in value] if isinstance(value, list) else value

    def _text(self, text: str, field: str, kind: PartKind, message: int | None) -> str:
        core = text.strip()
        if not core:
            return text
        begin = len(text) - len(text.lstrip())
        first = min(_FIRST + 2 * len(self.parts), _LAST - 1)
        self.parts.append(Part(field, kind, message, core))
        return f"{text[:begin]}{chr(first)}{core}{chr(first + 1)}{text[begin + len(core) :]}"


def _properties(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    """The parameters of a tool with their schemas."""
    function = tool.get("function")
    schema = function.get("parameters") if isinstance(function, Mapping) else None
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    return properties if isinstance(properties, Mapping) else {}


def _searched_parameters(tools: Sequence[Mapping[str, Any]], plain: str) -> list[Part]:
    """The parameters of tools, for templates that react to changed names."""
    return [
        Part(
            f"tools[{index}].function.parameters.{name}",
            "tool",
            None,
            name,
            found=name in plain or json.dumps(name, ensure_ascii=False)[1:-1] in plain,
        )
        for index, tool in enumerate(tools)
        for name in _properties(tool)
    ]


def _with_aliases(parts: list[Part]) -> list[Part]:
    """Take reasoning as found that stands under several keys of a message if the template renders one of them."""
    shown = {(part.message, part.text) for part in parts if part.kind == "reasoning" and part.found}
    return [
        replace(part, found=True) if part.kind == "reasoning" and (part.message, part.text) in shown else part
        for part in parts
    ]


def _located(part: Part, number: int, text: str) -> Part:
    first = _FIRST + 2 * number
    begin, end = text.rfind(chr(first)), text.rfind(chr(first + 1))
    found = begin >= 0 and end >= 0
    after = _MARKS.sub("", text[end + 1 :]) if end >= 0 else None
    inside = _MARKS.sub("", text[begin + 1 : end]) if found else part.text
    changed = inside if part.kind in _WRITTEN and inside not in _spellings(part.text) else None
    return replace(part, found=found, after=after, rendered_as=changed)


def _spellings(text: str) -> tuple[str, ...]:
    """A text, and the same inside a JSON text."""
    return text, json.dumps(text, ensure_ascii=False)[1:-1], json.dumps(text)[1:-1]


def _searched(parts: Sequence[Part], plain: str) -> list[Part]:
    found, at = [], 0
    for part in parts:
        written = json.dumps(part.text, ensure_ascii=False)[1:-1]
        end = -1
        for text in dict.fromkeys((part.text, written)):
            begin = plain.find(text, at) if part.kind != "tool" else plain.find(text)
            begin = plain.find(text) if begin < 0 else begin
            if begin >= 0:
                end = begin + len(text)
                break
        if end > at and part.kind != "tool":
            at = end
        found.append(replace(part, found=end >= 0, after=plain[end:] if end >= 0 else None))
    return found
