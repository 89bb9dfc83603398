"""The form in which a chat template takes messages. Templates differ, and are asked with short conversations."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Any

from ftkit.errors import DataError, ModelError, Place
from ftkit.task import Message

__all__ = ["Render", "TemplateForm", "check_parts"]

Render = Callable[[Sequence[dict[str, Any]], Sequence[dict[str, Any]] | None, bool], str]
"""Renders messages and tools; the flag adds the generation prompt. Raises ModelError if the template refuses them."""

_PROBE = "probe7f3"
_TOOL = {
    "type": "function",
    "function": {
        "name": "find",
        "description": "Find a place.",
        "parameters": {
            "type": "object",
            "properties": {"place": {"type": "string", "description": "Its name."}},
            "required": ["place"],
        },
    },
}


@dataclass(frozen=True, slots=True)
class _CallForm:
    """How a template takes tool calls."""

    as_text: bool = False  # arguments as a JSON text instead of an object
    short_ids: bool = False  # ids of nine letters and digits, as Mistral's templates demand


class TemplateForm:
    """Turns messages into the form that a template takes.

    Args:
        render: renders with the template.
        source: the Jinja template.
    """

    def __init__(self, render: Render, source: str) -> None:
        self._render, self._source = render, source

    @cached_property
    def takes_parts(self) -> bool:
        """Whether the template reads only lists of parts, and leaves out a content that is a text."""
        if self._shows([{"role": "user", "content": _PROBE}]):
            return False
        return self._shows([{"role": "user", "content": _parts(_PROBE)}])

    @cached_property
    def knows_developer(self) -> bool:
        """Whether the template is written for messages of role ``developer``, and does not just repeat any role."""
        if "developer" not in self._source:
            return False
        content = _parts(_PROBE) if self.takes_parts else _PROBE
        user = {"role": "user", "content": _parts("a") if self.takes_parts else "a"}
        return self._shows([{"role": "developer", "content": content}, user])

    @cached_property
    def _calls(self) -> _CallForm:
        forms = [_CallForm(as_text, short) for short in (False, True) for as_text in (False, True)]
        return next((form for form in forms if self._shows_call(form)), _CallForm())

    def messages(self, messages: Sequence[Message]) -> list[dict[str, Any]]:
        """Convert messages: no weight, text content, arguments of tool calls and ids as the template takes them.

        Results stand in the order of their calls, because many templates write no ids.

        Args:
            messages: the conversation, in OpenAI's chat form, with text only.

        Returns:
            The messages for the template.
        """
        return [self._message(message) for message in _in_order_of_calls(messages)]

    def _message(self, message: Message) -> dict[str, Any]:
        plain: dict[str, Any] = {key: value for key, value in message.items() if key != "weight"}
        if plain.get("role") == "developer" and not self.knows_developer:
            plain["role"] = "system"
        content = plain.get("content")
        if isinstance(content, list):
            content = "".join(part["text"] for part in content)
        plain["content"] = _parts(content or "") if self.takes_parts else content or ""
        if plain.get("tool_calls"):
            plain["tool_calls"] = [_call(call, self._calls) for call in plain["tool_calls"]]
        if self._has_ids(plain) and self._calls.short_ids:
            plain["tool_call_id"] = _short_id(plain["tool_call_id"])
        return plain

    @staticmethod
    def _has_ids(message: dict[str, Any]) -> bool:
        return isinstance(message.get("tool_call_id"), str)

    def _shows(self, messages: Sequence[dict[str, Any]], tools: Sequence[dict[str, Any]] | None = None) -> bool:
        try:
            return _PROBE in self._render(messages, tools, False)
        except ModelError:
            return False

    def _shows_call(self, form: _CallForm) -> bool:
        function = {"name": "find", "arguments": json.dumps({"place": _PROBE})}
        call = _call({"id": "call_1", "type": "function", "function": function}, form)
        content: Any = _parts("a") if self.takes_parts else "a"
        messages: list[dict[str, Any]] = [
            {"role": "user", "content": content},
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": call["id"], "name": "find", "content": content},
            {"role": "assistant", "content": content},
        ]
        return self._shows(messages, [_TOOL])


def _in_order_of_calls(messages: Sequence[Message]) -> list[Message]:
    """The messages with the results of each turn's calls in the order of the calls."""
    found: list[Message] = []
    for is_result, group in groupby(messages, key=lambda message: message.get("role") == "tool"):
        turns = list(group)
        if is_result and len(turns) > 1 and found:
            calls = found[-1].get("tool_calls") or ()
            order = {str(call.get("id")): at for at, call in enumerate(calls)}
            turns.sort(key=lambda turn: order.get(str(turn.get("tool_call_id")), len(order)))
        found += turns
    return found


def check_parts(messages: Sequence[Message], place: Place | None) -> None:
    """Refuse parts of messages that are not text.

    Args:
        messages: the conversation.
        place: file and line of the row, for errors.

    Raises:
        DataError: a part is something else.
    """
    for index, message in enumerate(messages):
        content: Any = message.get("content")
        for number, part in enumerate(content if isinstance(content, list) else []):
            kind = part.get("type") if isinstance(part, dict) else type(part).__name__
            if kind != "text":
                raise DataError(
                    f"a part of type {kind!r}, and local models read and learn text only; leave the row out, or train "
                    "on a host that takes such parts",
                    place=place,
                    field=f"messages[{index}].content[{number}]",
                )


def _parts(text: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": text}]


def _call(call: dict[str, Any], form: _CallForm) -> dict[str, Any]:
    function = dict(call.get("function", {}))
    arguments = function.get("arguments")
    if isinstance(arguments, str) and not form.as_text:
        try:
            function["arguments"] = json.loads(arguments)
        except (ValueError, RecursionError):
            return call
    elif not isinstance(arguments, str | None) and form.as_text:
        function["arguments"] = json.dumps(arguments, ensure_ascii=False)
    identity = call.get("id")
    changed = {"id": _short_id(identity)} if form.short_ids and isinstance(identity, str) else {}
    return {**call, **changed, "function": function}


def _short_id(identity: str) -> str:
    """Nine letters and digits: the id itself if it is that already."""
    if re.fullmatch(r"[A-Za-z0-9]{9}", identity):
        return identity
    return hashlib.sha256(identity.encode(errors="surrogatepass")).hexdigest()[:9]
