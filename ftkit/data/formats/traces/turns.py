"""The turns of a recorded call, in each form in which instrumentations record them.

A tracing tool stores the body that an instrumentation gave it, so each form may stand in the records of each tool:
messages of OpenAI's chat API and items of its Responses API, messages of LangChain, messages with ``parts`` of
OpenTelemetry's GenAI conventions, blocks of Anthropic. Thoughts are left out: hosts hide them or give summaries.

Sources: https://platform.openai.com/docs/api-reference/responses,
https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/, and what the tools themselves wrote
(``docs/interchange.md`` lists the files).
"""

from __future__ import annotations

import json
import re
from typing import Any

from ftkit.data.formats.content_blocks import is_call_or_result
from ftkit.errors import DataError, Place
from ftkit.schema.json_text import MAX_DEPTH
from ftkit.schema.json_values import is_nested_deeper
from ftkit.task import Message

__all__ = ["answer_turns", "asked_turns", "parsed", "tools_among"]

_ROLES = {
    "human": "user",
    "ai": "assistant",
    "function": "tool",
    "model": "assistant",
    "humanmessage": "user",
    "aimessage": "assistant",
    "aimessagechunk": "assistant",
    "systemmessage": "system",
    "toolmessage": "tool",
    "user": "user",
    "assistant": "assistant",
    "system": "system",
    "developer": "developer",
    "tool": "tool",
}
_TEXTS = ("text", "input_text", "output_text")
_THOUGHTS = ("reasoning", "thinking", "redacted_thinking")
_JOINED = tuple(f"{role}: " for role in ("system", "developer", "user", "assistant", "tool"))
"""How texts begin into which OpenLIT joins the messages."""
_BEGINS = re.compile(r'\s*(\[\s*\{\s*"(role|type|content|parts)"|\{\s*"(role|choices|messages|generations)")')
"""How messages and answers in JSON begin."""
_UNRECORDED = "a message without content, which the instrumentation left out"
_MESSAGE_KEYS = {
    *("content", "text", "parts", "tool_calls", "tool_call_id", "additional_kwargs", "response_metadata", "id", "name"),
    *("example", "refusal", "annotations", "audio", "function_call", "reasoning_content", "usage_metadata"),
    *("invalid_tool_calls", "generation_info", "finish_reason", "logprobs", "index"),
}
"""Keys of messages that name no role."""


def parsed(value: Any) -> Any:
    """Parse a text that is JSON; other values are returned as they are.

    Args:
        value: the value.

    Returns:
        The parsed value; the text, if it is nested deeper than a row may be.
    """
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            found = json.loads(value)
        except (ValueError, RecursionError):
            return value
        deep = value.count("{") + value.count("[") > MAX_DEPTH and is_nested_deeper(found)
        return value if deep else found
    return value


def asked_turns(given: Any, place: Place, field: str, missing: str) -> list[Any]:
    """Read what a model was asked.

    Args:
        given: a text, or turns in any form.
        place: the row, for errors.
        field: the field, for errors.
        missing: what is said if it is neither.

    Returns:
        Messages of OpenAI's chat API and items of its Responses API; without definitions of tools and thoughts.

    Raises:
        DataError: there are no turns, or a turn cannot be read.
    """
    if isinstance(given, str):
        _check_whole(given, place, field)
        if given.startswith(_JOINED):
            raise DataError("a text into which the turns were joined, with their roles", place=place, field=field)
        return [{"role": "user", "content": given}]
    if not isinstance(given, list) or not given:
        raise DataError(missing, place=place, field=field)
    return [
        turn
        for at, each in enumerate(given)
        if _defined_tool(each) is None
        for turn in _turns(each, place, f"{field}[{at}]")
    ]


def tools_among(given: Any) -> list[Any]:
    """Find definitions of tools among turns, where Langfuse's handler of LangChain records them.

    Args:
        given: what a model was asked.

    Returns:
        The definitions.
    """
    turns = given if isinstance(given, list) else []
    return [tool for turn in turns if (tool := _defined_tool(turn)) is not None]


def answer_turns(answer: Any, place: Place, field: str) -> list[Any]:
    """Read what a model answered.

    Args:
        answer: a text; an answer with ``choices``, of which the first counts; a response with ``output``; a message;
            or a list of messages: several answers to one question, of which the first counts, or the turns of one.
        place: the row, for errors.
        field: the field, for errors.

    Returns:
        Messages of OpenAI's chat API and items of its Responses API.

    Raises:
        DataError: there is no answer, or it cannot be read.
    """
    text, answer = answer, parsed(answer)
    if isinstance(answer, str):
        _check_whole(answer, place, field)
    if isinstance(answer, dict) and isinstance(answer.get("choices"), list):
        choice = answer["choices"][0] if answer["choices"] else None
        answer = choice.get("message", choice.get("text")) if isinstance(choice, dict) else None
        field = f"{field}.choices[0].message"
    elif isinstance(answer, dict) and isinstance(answer.get("output"), list):
        answer, field = answer["output"], f"{field}.output"
    if isinstance(answer, list) and answer and all(_is_sdk_call(each) for each in answer):
        return [{"role": "assistant", "content": None, "tool_calls": [_call(each) for each in answer]}]
    if isinstance(answer, list) and answer and (_is_part(answer[0]) or not _is_turn(answer[0])):
        content = _content(answer, place, field, "assistant", has_calls=False)
        if isinstance(content, str) and isinstance(text, str) and _is_text_of(text, content):
            content = text
        answer = {"role": "assistant", "content": content} if isinstance(content, list) else content
    if isinstance(answer, str) and answer:
        return [{"role": "assistant", "content": answer}]
    given = [answer] if isinstance(answer, dict) else answer
    if not isinstance(given, list) or not given or answer == {}:
        raise DataError("there is no answer", place=place, field=field, problem="no_answer")
    error = answer.get("error") if isinstance(answer, dict) and len(answer) == 1 else None
    if isinstance(error, dict) and isinstance(error.get("message"), str):
        raise DataError("the answer is an error of the host", place=place, field=field, problem="no_answer")
    if isinstance(answer, dict) and not _is_turn(answer):  # the answer itself is an object
        content = text if isinstance(text, str) else json.dumps(answer, ensure_ascii=False)
        return [{"role": "assistant", "content": content}]
    turns = [_turns(each, place, field, "assistant") for each in given]
    if all(len(each) == 1 and each[0].get("role") == "assistant" for each in turns) and not _is_item(given[0]):
        turns = turns[:1]  # further ones are other answers to the same question
    found = [turn for each in turns for turn in each]
    if not found:
        raise DataError("there is no answer", place=place, field=field, problem="no_answer")
    return found


def _is_text_of(text: str, written: str) -> bool:
    """Whether a recorded text and one that was written again are the same JSON: the recorded one is the answer."""
    return bool(json.loads(text) == parsed(written))


def _check_whole(text: str, place: Place, field: str) -> None:
    """Refuse what is left of messages in JSON that a tool cut off at its limit for texts."""
    if _BEGINS.match(text) and parsed(text) == text:
        message = "messages in JSON that were cut off, e.g. at a limit for the length of attributes"
        raise DataError(message, place=place, field=field)


def _is_sdk_call(value: Any) -> bool:
    """Whether a value is a call of a tool as the AI SDK records it beside the text."""
    return isinstance(value, dict) and "toolCallId" in value and "toolName" in value


def _is_part(value: Any) -> bool:
    """Whether a value is a part of a message's content."""
    if not isinstance(value, dict) or value.get("role") is not None:
        return False
    return (value.get("type") in _TEXTS and "text" in value) or is_call_or_result(value)


def _is_turn(value: Any) -> bool:
    """Whether a value is a message or an item; other objects are answers in JSON."""
    if not isinstance(value, dict):
        return False
    if _is_item(value) or any(isinstance(value.get(name), dict) for name in ("kwargs", "message")):
        return True
    role = value.get("role", value.get("type"))
    if isinstance(role, str) and (role.lower() in _ROLES or (role in _TEXTS and "text" in value)):
        return True
    named = any(name in value for name in ("content", "text", "parts", "tool_calls"))
    return role is None and named and value.keys() <= _MESSAGE_KEYS


def _is_item(value: Any) -> bool:
    """Whether a turn is an item of the Responses API other than a message, or an answer's message item."""
    if not isinstance(value, dict):
        return False
    kind = value.get("type")
    if not isinstance(kind, str) or kind.lower() in _ROLES or kind in ("constructor", *_TEXTS):
        return False
    if value.get("role") is not None:
        return kind == "message"
    return kind in ("reasoning", "item_reference") or kind.endswith(("_call", "_call_output", "_list_tools"))


def _defined_tool(turn: Any) -> Any:
    """The tool that a turn defines; None if it is another turn."""
    content = parsed(turn.get("content")) if isinstance(turn, dict) and turn.get("role") == "tool" else None
    function = content.get("function") if isinstance(content, dict) and content.get("type") == "function" else None
    return content if isinstance(function, dict) and "name" in function and "arguments" not in function else None


def _turns(value: Any, place: Place, field: str, role: str | None = None) -> list[Any]:
    """One recorded turn, which may hold the results of several tools."""
    if isinstance(value, str):
        return [{"role": role or "user", "content": value}]
    if not isinstance(value, dict):
        raise DataError("a message is an object", place=place, field=field)
    if isinstance(value.get("message"), dict):
        value = value["message"]
    if isinstance(value.get("parts"), list):
        return _of_parts(value["parts"], value.get("role") or role, place, field)
    if _is_item(value) and value.get("role") is None:
        if value.get("type") == "reasoning":
            return []
        texts = {name: _json_text(value[name]) for name in ("arguments", "output") if name in value}
        return [{**value, **texts}]
    content = value.get("content")
    if value.get("role") == "tool" and isinstance(content, list) and content and all(map(_is_call, content)):
        return [{"role": "assistant", "content": None, "tool_calls": [_call(call) for call in content]}]  # Koog's
    return [_message(value, place, field, role)]


def _is_call(value: Any) -> bool:
    function = value.get("function") if isinstance(value, dict) else None
    return isinstance(function, dict) and "arguments" in function


def _of_parts(parts: list[Any], role: Any, place: Place, field: str) -> list[Any]:
    """A message with parts, in OpenAI's form. Each result of a tool is a turn of its own."""
    texts: list[str] = []
    calls: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for part in parts:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "text" or (kind is None and isinstance(part, dict) and isinstance(part.get("text"), str)):
            texts.append(str(part.get("content") or part.get("text") or ""))
        elif kind == "tool_call":
            function = {"name": part.get("name"), "arguments": _json_text(part.get("arguments"))}
            calls.append({"id": _identity(part.get("id")), "type": "function", "function": function})
        elif kind == "tool_call_response":
            content = part.get("response", part.get("result"))
            results.append({"role": "tool", "tool_call_id": _identity(part.get("id")), "content": _json_text(content)})
        elif kind not in _THOUGHTS:
            raise DataError(f"a part of type {kind!r:.60}; only texts can be learned", place=place, field=field)
    if results and not texts and not calls:
        return results
    if not texts and not calls and role != "assistant":
        raise DataError(_UNRECORDED, place=place, field=field)
    message: dict[str, Any] = {"role": _ROLES.get(str(role).lower(), role), "content": "".join(texts)}
    if calls:
        message |= {"tool_calls": calls, "content": message["content"] or None}
    return [*results, message]


def _message(value: dict[str, Any], place: Place, field: str, given_role: str | None) -> Message:
    """A message of OpenAI, or of LangChain (``{"id": […], "kwargs": {…}}`` where it is serialised)."""
    inner = value.get("kwargs") if isinstance(value.get("kwargs"), dict) else value.get("data")
    fields: dict[str, Any] = inner if isinstance(inner, dict) else value
    names = value.get("id")
    named = names[-1] if isinstance(names, list) and names else ""
    role = fields.get("role") or fields.get("type") or value.get("type") or named or given_role
    if role == "constructor":
        role = named
    role = given_role if given_role and role in ("message", *_TEXTS) else _ROLES.get(str(role).lower(), role)
    more = fields.get("additional_kwargs")
    more = more if isinstance(more, dict) else {}
    calls = fields.get("tool_calls") or more.get("tool_calls")
    older = fields.get("function_call") or more.get("function_call")
    if not calls and isinstance(older, dict):  # of OpenAI's API before it had tools
        calls = [{"type": "function", "function": older}]
    content = fields["content"] if "content" in fields else fields.get("text")
    if content is None and fields.get("content_parts"):  # of stored completions
        content = fields["content_parts"]
    message: dict[str, Any] = {"role": role, "content": _content(content, place, field, role, has_calls=bool(calls))}
    if calls:
        if not isinstance(calls, list):
            raise DataError("tool_calls is no list", place=place, field=field)
        message["tool_calls"] = [_call(call) for call in calls]
        message["content"] = message["content"] or None
    if fields.get("tool_call_id"):
        message["tool_call_id"] = fields["tool_call_id"]
    return message  # type: ignore[return-value]


def _content(content: Any, place: Place, field: str, role: Any, *, has_calls: bool) -> Any:
    """The text of a message's content; its parts, where they hold calls or results of tools that stand nowhere else."""
    if content is None or isinstance(content, str):
        return content
    if not isinstance(content, list):
        return json.dumps(content, ensure_ascii=False)
    if not content and role != "assistant":
        raise DataError(_UNRECORDED, place=place, field=field)
    parts = [part for part in content if not (isinstance(part, dict) and part.get("type") in _THOUGHTS)]
    if content and not any(isinstance(part, dict) and ("type" in part or "text" in part) for part in content):
        if role != "tool" and all(isinstance(part, str) for part in content):
            raise DataError(
                "a list of texts, which may be the parts of one text or an answer in JSON; write one text",
                place=place,
                field=field,
            )
        return json.dumps(content, ensure_ascii=False)  # an export that parses each text that is JSON
    blocks = not has_calls and any(is_call_or_result(part) for part in parts)
    texts = []
    for part in parts:
        kind = part.get("type") if isinstance(part, dict) else None
        text = part.get("text", part.get("content")) if isinstance(part, dict) else part
        if (kind in (None, *_TEXTS)) and isinstance(text, str):
            texts.append(text)
        elif not (is_call_or_result(part) or (has_calls and kind == "function_call")):
            raise DataError(f"a part of type {kind!r:.60}; only texts can be learned", place=place, field=field)
    return parts if blocks else "".join(texts)


def _call(call: Any) -> Any:
    """A tool call in OpenAI's form; LangChain has the name and the parsed arguments at the top."""
    if _is_sdk_call(call):
        call = {"id": call["toolCallId"], "name": call["toolName"], "args": call.get("input", call.get("args"))}
    if isinstance(call, dict) and "function" not in call and "name" in call:
        arguments = call.get("args", call.get("arguments", {}))
        function = {"name": call["name"], "arguments": _json_text(arguments)}
        return {"id": _identity(call.get("id")), "type": "function", "function": function}
    return call


def _identity(value: Any) -> str | None:
    """The id of a call, which an export may have parsed, because it was a text of JSON."""
    return None if value in (None, "") else value if isinstance(value, str) else json.dumps(value)


def _json_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps({} if value is None else value, ensure_ascii=False)
