"""Thoughts, calls and results of tools that stand in the content of a message, as chat messages of OpenAI's form.

Anthropic's Messages API writes them so, and so do Amazon Bedrock's Converse API, Mistral and Cohere (thoughts), the AI
SDK and LangChain. A block is translated where its meaning is exact, else the row is refused.

Sources: https://docs.anthropic.com/en/api/messages,
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ContentBlock.html,
https://ai-sdk.dev/docs/reference/ai-sdk-core/model-message.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ftkit.data.formats.content import REASONING, join_text_parts
from ftkit.errors import DataError, Place

__all__ = ["has_blocks", "is_call_or_result", "split_blocks", "thought_of"]

_THOUGHTS = ("thinking", "reasoning")
_CALLS = {"tool_use": ("id", "input"), "tool-call": ("toolCallId", "input"), "tool_call": ("id", "args")}
"""Type of a call to the keys of its id and of its arguments."""
_RESULTS = {"tool_result": ("tool_use_id", "content"), "tool-result": ("toolCallId", "output")}
_DETAILS = {"reasoning.text": "text", "thinking": "thinking"}
_HIDDEN = "redacted_thinking"
_BEDROCK = ("reasoningContent", "toolUse", "toolResult")
_TYPES = frozenset({*_THOUGHTS, *_CALLS, *_RESULTS, _HIDDEN})
_ERROR_OUTPUTS = ("error-text", "error-json")

_NOT_BY_ASSISTANT = "only the assistant thinks and calls tools"
_IS_ERROR = "a mark that the tool failed, which chat templates do not write; write the error into the result's content"
_ENCRYPTED = "an encrypted thought, which only its host can read, so it cannot be learned; leave the block out"


@dataclass(frozen=True, slots=True)
class _Block:
    kind: Literal["thought", "call", "result", "other"]
    value: Any
    """A thought's text; a call in OpenAI's form; a tool message; the part itself."""
    field: str


def has_blocks(message: Any) -> bool:
    """Say whether the content of a message holds thoughts, calls or results.

    Args:
        message: an element of a list of messages.

    Returns:
        Whether it does.
    """
    content = message.get("content") if isinstance(message, Mapping) else None
    if not isinstance(content, list):
        return False
    return any(isinstance(part, Mapping) and _is_block(part) for part in content)


def is_call_or_result(part: Any) -> bool:
    """Say whether a part of a content is a call or a result of a tool.

    Args:
        part: an element of a list of parts.

    Returns:
        Whether it is.
    """
    kind = part.get("type") if isinstance(part, Mapping) else None
    if isinstance(kind, str) and (kind in _CALLS or kind in _RESULTS):
        return True
    return isinstance(part, Mapping) and any(isinstance(part.get(key), Mapping) for key in _BEDROCK[1:])


def split_blocks(message: Mapping[str, Any], place: Place, field: str) -> list[tuple[str, dict[str, Any]]]:
    """Translate the blocks of a message's content.

    Thoughts become ``reasoning_content``, calls become ``tool_calls``, and each result a tool message of its own.

    Args:
        message: a message of which :func:`has_blocks` is true.
        place: of the row.
        field: of the message in the row.

    Returns:
        The messages, each with the field that errors name. Texts and other parts stay in the content.

    Raises:
        DataError: a block has another form, stands where its meaning would be lost, or cannot be learned.
    """
    blocks = [
        _read(part, place, f"{field}.content[{number}]")
        if isinstance(part, Mapping)
        else _Block("other", part, f"{field}.content[{number}]")
        for number, part in enumerate(message["content"])
    ]
    if any(block.kind == "result" for block in blocks):
        return _results(message, blocks, place, field)
    if message.get("role") != "assistant":
        at = next(block.field for block in blocks if block.kind != "other")
        raise DataError(_NOT_BY_ASSISTANT, place=place, field=at)
    return [(field, _assistant_turn(message, blocks, place, field))]


def thought_of(blocks: Any) -> str | None:
    """Join the blocks of a thought that stand beside a content.

    Args:
        blocks: OpenRouter's ``reasoning_details`` or LiteLLM's ``thinking_blocks``.

    Returns:
        The thought; None if a block is no text, e.g. a summary or an encrypted one.
    """
    texts = []
    for block in blocks if isinstance(blocks, list) else [None]:
        if not isinstance(block, Mapping):
            return None
        key = _DETAILS.get(str(block.get("type")))
        text = join_text_parts(block[key]) if key is not None and key in block else None
        if not isinstance(text, str):
            return None
        texts.append(text)
    return "".join(texts)


def _assistant_turn(message: Mapping[str, Any], blocks: list[_Block], place: Place, field: str) -> dict[str, Any]:
    order = {"thought": 0, "other": 1, "call": 2}
    latest = 0
    for block in blocks:
        rank = order[block.kind]
        if rank < latest and not (block.kind == "other" and _is_blank(block.value)):
            raise DataError(
                "a turn is its thought, its text and its calls, in this order, and this block stands behind a later "
                "one; split the turn in two, or leave the block out",
                place=place,
                field=block.field,
            )
        latest = max(latest, rank)
    turn = {key: value for key, value in message.items() if key != "content"}
    parts = [block.value for block in blocks if block.kind == "other"]
    thought = "".join(block.value for block in blocks if block.kind == "thought")
    calls = [block.value for block in blocks if block.kind == "call"]
    if parts:
        turn["content"] = parts
    if thought:
        other = next((key for key in REASONING if message.get(key) not in (None, "")), None)
        if other is not None and join_text_parts(message[other]) != thought:
            raise DataError("another thought stands in the content; keep one of them", place=place, field=other)
        if other is None:
            turn["reasoning_content"] = thought
    if calls:
        if message.get("tool_calls") and not _same_calls(message["tool_calls"], calls):
            raise DataError(
                "other calls stand in the content; keep one of them", place=place, field=f"{field}.tool_calls"
            )
        turn["tool_calls"] = calls
    return turn


def _is_blank(part: Any) -> bool:
    text = join_text_parts([part])
    return isinstance(text, str) and not text.strip()


def _same_calls(first: Any, second: list[dict[str, Any]]) -> bool:
    """Whether two lists have calls of the same names and ids; LangChain writes each call twice."""

    def names(calls: Any) -> list[Any]:
        return [
            (call.get("id"), (call.get("function") or call).get("name")) if isinstance(call, Mapping) else None
            for call in calls
        ]

    return isinstance(first, list) and names(first) == names(second)


def _results(
    message: Mapping[str, Any], blocks: list[_Block], place: Place, field: str
) -> list[tuple[str, dict[str, Any]]]:
    if message.get("role") not in ("user", "tool"):
        at = next(block.field for block in blocks if block.kind == "result")
        raise DataError("only a user's or a tool's message holds results of tools", place=place, field=at)
    wrong = next((block for block in blocks if block.kind in ("thought", "call")), None)
    if wrong is not None:
        raise DataError(_NOT_BY_ASSISTANT, place=place, field=wrong.field)
    rest = {key: value for key, value in message.items() if key not in ("content", "role")}
    made: list[tuple[str, dict[str, Any]]] = []
    parts: list[Any] = []
    for block in blocks:
        if block.kind == "other":
            parts.append(block.value)
            continue
        if not all(_is_blank(part) for part in parts):
            raise DataError(
                "a result behind other parts; the results come first, because they answer the calls before",
                place=place,
                field=block.field,
            )
        made.append((block.field, {**rest, **block.value}))
    if parts and not all(_is_blank(part) for part in parts):
        made.append((field, {**rest, "role": "user", "content": parts}))
    return made


def _is_block(part: Mapping[str, Any]) -> bool:
    kind = part.get("type")
    return (isinstance(kind, str) and kind in _TYPES) or any(isinstance(part.get(key), Mapping) for key in _BEDROCK)


def _read(part: Mapping[str, Any], place: Place, field: str) -> _Block:
    if not _is_block(part):
        return _Block("other", part, field)
    kind = part.get("type")
    if not isinstance(kind, str) or kind not in _TYPES:
        return _bedrock(part, place, field)
    if kind == _HIDDEN:
        raise DataError(_ENCRYPTED, place=place, field=field)
    if kind in _THOUGHTS:
        name = next((key for key in (kind, "text") if part.get(key) is not None), kind)
        return _Block("thought", _text(part.get(name), place, f"{field}.{name}"), field)
    if kind in _CALLS:
        identity, arguments = _CALLS[kind]
        arguments = "args" if arguments not in part and "args" in part else arguments
        return _Block("call", _call(part, identity, arguments, place, field), field)
    identity, content = _RESULTS[kind]
    content = "result" if content not in part and "result" in part else content
    if part.get("is_error") or part.get("isError"):
        raise DataError(_IS_ERROR, place=place, field=f"{field}.{'is_error' if part.get('is_error') else 'isError'}")
    value = part.get(content)
    if kind == "tool-result":
        value = _sdk_output(value, place, f"{field}.{content}")
    return _Block("result", _tool_message(part.get(identity), value, place, f"{field}.{identity}"), field)


def _bedrock(part: Mapping[str, Any], place: Place, field: str) -> _Block:
    key = next(key for key in _BEDROCK if isinstance(part.get(key), Mapping))
    inner, field_inside = part[key], f"{field}.{key}"
    if key == "reasoningContent":
        text = inner.get("reasoningText")
        if not isinstance(text, Mapping):
            raise DataError(_ENCRYPTED, place=place, field=field_inside)
        return _Block("thought", _text(text.get("text"), place, f"{field_inside}.reasoningText.text"), field)
    if key == "toolUse":
        return _Block("call", _call(inner, "toolUseId", "input", place, field_inside), field)
    if inner.get("status") == "error":
        raise DataError(_IS_ERROR, place=place, field=f"{field_inside}.status")
    content = inner.get("content")
    if isinstance(content, list):
        content = [
            {"type": "text", "text": json.dumps(item["json"], ensure_ascii=False)}
            if isinstance(item, Mapping) and "json" in item
            else item
            for item in content
        ]
    return _Block("result", _tool_message(inner.get("toolUseId"), content, place, f"{field_inside}.toolUseId"), field)


def _sdk_output(output: Any, place: Place, field: str) -> Any:
    """The value of the AI SDK's ``{"type": "text", "value": …}``; an older version has any JSON value."""
    if isinstance(output, Mapping) and isinstance(output.get("type"), str) and "value" in output:
        if output["type"] in _ERROR_OUTPUTS:
            raise DataError(_IS_ERROR, place=place, field=f"{field}.type")
        if output["type"] in ("text", "content"):
            return output["value"]
        output = output["value"]
    return output if output is None or isinstance(output, str) else json.dumps(output, ensure_ascii=False)


def _call(part: Mapping[str, Any], identity: str, arguments: str, place: Place, field: str) -> dict[str, Any]:
    if not isinstance(part.get("name", part.get("toolName")), str):
        raise DataError("must be the name of a tool", place=place, field=f"{field}.name")
    value = part.get(arguments)
    if not isinstance(value, Mapping):
        raise DataError("must be the arguments, as an object", place=place, field=f"{field}.{arguments}")
    name = part.get("name", part.get("toolName"))
    call = {"type": "function", "function": {"name": name, "arguments": json.dumps(value, ensure_ascii=False)}}
    return call if part.get(identity) is None else {"id": part[identity], **call}


def _tool_message(identity: Any, content: Any, place: Place, field: str) -> dict[str, Any]:
    if identity is not None and not isinstance(identity, str):
        raise DataError("must be the id of the call", place=place, field=field)
    message = {"role": "tool", "content": "" if content is None else content}
    return message if identity is None else {**message, "tool_call_id": identity}


def _text(value: Any, place: Place, field: str) -> str:
    text = join_text_parts(value)
    if not isinstance(text, str):
        raise DataError("must be the text of a thought", place=place, field=field)
    return text
