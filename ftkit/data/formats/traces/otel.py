"""OpenTelemetry spans with the GenAI semantic conventions, as OTLP JSON or as JSON of single spans.

Source: https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/ (``gen_ai.input.messages``), and the attributes
``gen_ai.prompt.N.content`` of OpenLLMetry, which came before.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from typing_extensions import override

from ftkit.data.formats.base import Conversation, RawRow
from ftkit.data.formats.traces.base import (
    TraceFacts,
    TraceFormat,
    ends_at_limit,
    judged,
    number_of,
    parsed,
    time_of,
    traced_conversation,
)
from ftkit.errors import DataError, Place
from ftkit.task import Message

__all__ = ["OpenTelemetry"]

_CHAT = ("chat", "generate_content", "text_completion", "completion")
_INDEXED = re.compile(r"gen_ai\.(prompt|completion)\.(\d{1,4})\.(role|content)")
_RESULT = "gen_ai.evaluation.result"
_DEEPEST = 64


class OpenTelemetry(TraceFormat):
    """A span. Files hold spans, or OTLP's ``resourceSpans`` with many."""

    name = "otel"
    columns = ("attributes", "events", "name", "startTimeUnixNano", "start_time", "status")
    required = "attributes of gen_ai"

    @override
    def matches(self, columns: Mapping[str, Any]) -> bool:
        if "resourceSpans" in columns or "resource_spans" in columns:
            return True
        return "attributes" in columns and any(name.startswith("gen_ai.") for name in _attributes(columns))

    @override
    def records(self, record: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        groups = record.get("resourceSpans", record.get("resource_spans"))
        if not isinstance(groups, list):
            yield record
            return
        for group in groups:
            scopes = _either(group, "scopeSpans", "scope_spans", "instrumentationLibrarySpans")
            for scope in scopes:
                yield from (span for span in _either(scope, "spans") if isinstance(span, dict))

    @override
    def facts(self, columns: Mapping[str, Any]) -> TraceFacts:
        attributes = _attributes(columns)
        scores: dict[str, float] = {}
        feedback: bool | None = None
        events = parsed(columns.get("events"))
        for event in events if isinstance(events, list) else ():
            if not isinstance(event, dict) or event.get("name") != _RESULT:
                continue
            result = _attributes(event)
            name = str(result.get("gen_ai.evaluation.name") or "score")
            score = number_of(result.get("gen_ai.evaluation.score.value"))
            if score is not None:
                scores[name] = score
            verdict = judged(result.get("gen_ai.evaluation.score.label"))
            found = judged(score) if verdict is None else verdict
            feedback = found if feedback is None or found is False else feedback
        operation = attributes.get("gen_ai.operation.name")
        status = columns.get("status")
        code = status.get("code", status.get("status_code")) if isinstance(status, dict) else status
        failed = code in (2, "2", "ERROR", "STATUS_CODE_ERROR") or attributes.get("error.type")
        return TraceFacts(
            model=str(attributes.get("gen_ai.response.model") or attributes.get("gen_ai.request.model") or ""),
            at=time_of(columns.get("startTimeUnixNano", columns.get("start_time"))),
            scores=scores,
            feedback=feedback,
            error=str(attributes.get("error.type") or "the span has the status ERROR") if failed else "",
            is_chat=operation in _CHAT or (operation is None and any(map(_INDEXED.fullmatch, attributes))),
            is_cut=ends_at_limit({"finish_reason": parsed(attributes.get("gen_ai.response.finish_reasons"))})
            or ends_at_limit(parsed(attributes.get("gen_ai.output.messages"))),
        )

    @override
    def read(self, row: RawRow) -> Conversation:
        attributes = _attributes(row.columns)
        messages = _messages(attributes, row.place)
        if not messages:
            raise DataError(
                "the span has no gen_ai.input.messages; the instrumentation records contents only if that is turned on",
                place=row.place,
                field="attributes",
            )
        tools = _tools(parsed(attributes.get("gen_ai.tool.definitions")))
        return traced_conversation(row, messages, "attributes", {"tools": tools}, "gen_ai.tool.definitions")


def _messages(attributes: Mapping[str, Any], place: Place) -> list[Any]:
    found: list[Any] = []
    system = parsed(attributes.get("gen_ai.system_instructions"))
    if system:
        parts = system if isinstance(system, list) else [{"type": "text", "content": system}]
        found += _turns({"role": "system", "parts": parts}, place)
    for name in ("gen_ai.input.messages", "gen_ai.output.messages"):
        turns = parsed(attributes.get(name))
        for turn in turns if isinstance(turns, list) else ():
            found += _turns(turn, place)
            if name == "gen_ai.output.messages":
                break  # further ones are other answers to the same question
    return found or _indexed(attributes)


def _turns(turn: Any, place: Place) -> list[Message]:
    """A message with parts, in OpenAI's form. Each result of a tool is a turn of its own."""
    if not isinstance(turn, dict):
        raise DataError("a message is an object", place=place, field="attributes")
    texts: list[str] = []
    calls: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    parts = turn.get("parts")
    if not isinstance(parts, list):
        parts = [{"type": "text", "content": turn.get("content")}]
    for part in parts:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "text":
            texts.append(str(part.get("content") or ""))
        elif kind == "tool_call":
            function = {"name": part.get("name"), "arguments": _json_text(part.get("arguments"))}
            calls.append({"id": part.get("id") or "", "type": "function", "function": function})
        elif kind == "tool_call_response":
            content = part.get("response", part.get("result"))
            results.append({"role": "tool", "tool_call_id": part.get("id"), "content": _json_text(content)})
        elif kind != "reasoning":
            raise DataError(f"a part of type {kind!r}; only texts can be learned", place=place, field="attributes")
    if results:
        return results  # type: ignore[return-value]
    message: dict[str, Any] = {"role": turn.get("role"), "content": "".join(texts)}
    if calls:
        message |= {"tool_calls": calls, "content": message["content"] or None}
    return [message]  # type: ignore[list-item]


def _indexed(attributes: Mapping[str, Any]) -> list[Any]:
    turns: dict[tuple[bool, int], dict[str, Any]] = {}
    for name, value in attributes.items():
        match = _INDEXED.fullmatch(name)
        if match is not None:
            key = (match[1] == "completion", int(match[2]))
            turns.setdefault(key, {"role": "assistant" if key[0] else "user"})[match[3]] = value
    answers = [key for key in sorted(turns) if key[0]]
    return [turns[key] for key in sorted(turns) if not key[0] or key == answers[0]]


def _tools(value: Any) -> Any:
    """Definitions of tools in OpenAI's form, which wraps the function."""
    if not isinstance(value, list):
        return None
    return [
        {"type": "function", "function": {key: one[key] for key in ("name", "description", "parameters") if key in one}}
        if isinstance(one, dict) and "function" not in one
        else one
        for one in value
    ]


def _json_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value if value is not None else {}, ensure_ascii=False)


def _either(value: Any, *names: str) -> list[Any]:
    for name in names:
        if isinstance(value, dict) and isinstance(value.get(name), list):
            found: list[Any] = value[name]
            return found
    return []


def _attributes(columns: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes by name, from OTLP's list of typed values or from a plain object."""
    given = columns.get("attributes")
    if isinstance(given, dict):
        return given
    if not isinstance(given, list):
        return {}
    return {
        str(each["key"]): _value(each.get("value"), 0) for each in given if isinstance(each, dict) and "key" in each
    }


def _value(value: Any, depth: int) -> Any:
    if not isinstance(value, dict) or depth > _DEEPEST:
        return value
    if "intValue" in value:
        return number_of(value["intValue"])
    for name in ("stringValue", "boolValue", "doubleValue", "bytesValue"):
        if name in value:
            return value[name]
    if "arrayValue" in value:
        return [_value(each, depth + 1) for each in _either(value["arrayValue"], "values")]
    if "kvlistValue" in value:
        pairs = _either(value["kvlistValue"], "values")
        return {str(pair.get("key")): _value(pair.get("value"), depth + 1) for pair in pairs if isinstance(pair, dict)}
    return None
