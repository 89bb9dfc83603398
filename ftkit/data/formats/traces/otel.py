"""OpenTelemetry spans with the GenAI semantic conventions, as OTLP JSON or as JSON of single spans.

Source: https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/ (``gen_ai.input.messages``); also what
OpenLLMetry wrote before, and OpenInference's attributes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from typing_extensions import override

from ftkit.data.formats.base import Conversation, RawRow
from ftkit.data.formats.traces.base import (
    TraceFacts,
    TraceFormat,
    call_settings,
    ends_at_limit,
    number_of,
    time_of,
    traced_conversation,
)
from ftkit.data.formats.traces.feedback import Judgements
from ftkit.data.formats.traces.span_attributes import has_gap, indexed_answer, indexed_messages, is_indexed, span_tools
from ftkit.data.formats.traces.turns import answer_turns, asked_turns, parsed
from ftkit.errors import DataError, Place

__all__ = ["OpenTelemetry"]

_MODELS = ("gen_ai.response.model", "gen_ai.request.model", "llm.model_name")
_FINISHES = (
    "gen_ai.response.finish_reasons",
    "gen_ai.completion.0.finish_reason",
    "llm.finish_reason",
    "ai.response.finishReason",
)
_CHAT = ("chat", "generate_content", "text_completion", "completion")
_SDK_ASKED = "ai.prompt.messages"
"""The AI SDK's attribute of what was asked, beside ``ai.response.text`` and ``ai.response.toolCalls``."""
_KIND = "openinference.span.kind"
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
        attributes = _attributes(columns)
        return any(name.startswith("gen_ai.") for name in attributes) or _KIND in attributes

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
        judgements = Judgements()
        events = parsed(columns.get("events"))
        for event in events if isinstance(events, list) else ():
            if not isinstance(event, dict) or event.get("name") != _RESULT:
                continue
            result = _attributes(event)
            name = str(result.get("gen_ai.evaluation.name") or "score")
            label = result.get("gen_ai.evaluation.score.label")
            judgements.add(name, result.get("gen_ai.evaluation.score.value"), label)
        operation = attributes.get("gen_ai.operation.name")
        status = columns.get("status")
        code = status.get("code", status.get("status_code")) if isinstance(status, dict) else status
        failed = code in (2, "2", "ERROR", "STATUS_CODE_ERROR") or attributes.get("error.type")
        return TraceFacts(
            model=str(next((attributes[name] for name in _MODELS if attributes.get(name)), "")),
            at=time_of(columns.get("startTimeUnixNano", columns.get("start_time"))),
            scores=judgements.scores,
            feedback=judgements.feedback,
            scaled=judgements.scaled,
            error=str(attributes.get("error.type") or "the span has the status ERROR") if failed else "",
            is_chat=operation in _CHAT
            if operation
            else attributes.get(_KIND, "LLM") == "LLM" and (is_indexed(attributes) or _SDK_ASKED in attributes),
            is_cut=any(ends_at_limit({"finish_reason": parsed(attributes.get(name))}) for name in _FINISHES)
            or any(ends_at_limit(parsed(attributes.get(name))) for name in ("gen_ai.output.messages", "output.value")),
        )

    @override
    def read(self, row: RawRow) -> Conversation:
        attributes = _attributes(row.columns)
        dropped = number_of(row.columns.get("droppedAttributesCount", row.columns.get("dropped_attributes_count")))
        if dropped or has_gap(attributes):
            message = "attributes of the span were dropped at the limit of the SDK, and turns may be among them"
            raise DataError(message, place=row.place, field="attributes")
        asked, answer = _asked(attributes, row.place), _answer(attributes, row.place)
        if not asked and not answer:
            raise DataError(
                "the span has no gen_ai.input.messages; the instrumentation records contents only if that is turned on",
                place=row.place,
                field="attributes",
            )
        settings = call_settings(parsed(attributes.get("llm.invocation_parameters"))) | {
            "tools": span_tools(attributes)
        }
        return traced_conversation(row, asked, answer, "attributes", settings, "gen_ai.tool.definitions")


def _asked(attributes: Mapping[str, Any], place: Place) -> list[Any]:
    found: list[Any] = []
    system = parsed(attributes.get("gen_ai.system_instructions"))
    if system:
        parts = system if isinstance(system, list) else [{"type": "text", "content": system}]
        found += asked_turns([{"role": "system", "parts": parts}], place, "gen_ai.system_instructions", "")
    for name in ("gen_ai.input.messages", "gen_ai.prompt", _SDK_ASKED):
        turns = parsed(attributes.get(name))
        if turns:
            return found + asked_turns(turns, place, name, f"{name} is no list of messages")
    turns = indexed_messages(attributes)
    return found + asked_turns(turns, place, "attributes", "") if turns else found


def _answer(attributes: Mapping[str, Any], place: Place) -> list[Any]:
    for name in ("gen_ai.output.messages", "gen_ai.completion"):
        if attributes.get(name):
            return answer_turns(attributes[name], place, name)
    text, calls = attributes.get("ai.response.text"), parsed(attributes.get("ai.response.toolCalls"))
    if text or calls:
        return answer_turns({"role": "assistant", "content": text, "tool_calls": calls}, place, "ai.response")
    turns = indexed_answer(attributes)
    return answer_turns(turns, place, "attributes") if turns else []


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
        return {name: value for name, value in columns.items() if name.startswith("gen_ai.")}
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
