"""Observations and traces that Langfuse exports, as JSON, JSON Lines or CSV.

Source: https://langfuse.com/docs/api-and-data-platform/features/export-from-ui and its API's ``Observation``.
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
    request_settings,
    response_settings,
    time_of,
    traced_conversation,
)
from ftkit.data.formats.traces.feedback import Judgements
from ftkit.data.formats.traces.span_attributes import span_tools
from ftkit.data.formats.traces.turns import answer_turns, asked_turns, parsed, tools_among

__all__ = ["Langfuse"]

_FEEDBACK = ("feedback", "thumb", "rating", "user")


class Langfuse(TraceFormat):
    """A generation, or a trace with its observations. Scores of a trace count for all its generations."""

    name = "langfuse"
    columns = (
        *("input", "output", "model", "modelParameters", "type", "startTime", "timestamp", "scores", "observations"),
        "level",
    )
    required = "input and output"

    @override
    def matches(self, columns: Mapping[str, Any]) -> bool:
        own = ("traceId", "trace_id", "observations", "observationId", "sessionId", "session_id", "projectId")
        return "input" in columns and "output" in columns and any(name in columns for name in own)

    @override
    def records(self, record: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        observations = parsed(record.get("observations"))
        calls = [
            one
            for one in (observations if isinstance(observations, list) else ())
            if isinstance(one, dict) and one.get("type") == "GENERATION" and one.get("input") is not None
        ]
        if not calls:
            yield record
            return
        scores = _scores(record)
        outer = {call.get("parentObservationId") for call in calls}
        for call in calls:
            if call.get("id") is not None and call["id"] in outer:  # the AI SDK records a call in another one
                yield {**call, "type": "SPAN"}
                continue
            own = [score for score in scores if score.get("observationId") in (None, call.get("id"))]
            yield {**call, "scores": [*_scores(call), *own]}

    @override
    def facts(self, columns: Mapping[str, Any]) -> TraceFacts:
        judgements = Judgements()
        for score in _scores(columns):
            name, value = str(score.get("name") or "score"), score.get("value", score.get("stringValue"))
            is_judgement = any(word in name.lower() for word in _FEEDBACK)
            judgements.add(name, value, score.get("stringValue"), is_judgement=is_judgement)
        failed = columns.get("level") == "ERROR"
        return TraceFacts(
            model=str(columns.get("model") or columns.get("providedModelName") or ""),
            at=time_of(columns.get("startTime", columns.get("timestamp", columns.get("start_time")))),
            scores=judgements.scores,
            feedback=judgements.feedback,
            scaled=judgements.scaled,
            error=str(columns.get("statusMessage") or "the observation has the level ERROR") if failed else "",
            is_chat=columns.get("type") in (None, "GENERATION"),
            is_cut=ends_at_limit(parsed(columns.get("output"))),
        )

    @override
    def read(self, row: RawRow) -> Conversation:
        given, answer = parsed(row.columns.get("input")), parsed(row.columns.get("output"))
        turns = given
        if isinstance(given, dict):
            names = ("messages", "prompt", "input")
            turns = next((given[name] for name in names if given.get(name) is not None), None)
        asked = asked_turns(turns, row.place, "input", "neither a text nor a list of messages")
        settings = call_settings(
            response_settings(answer), parsed(row.columns.get("modelParameters")), request_settings(given)
        )
        tools = [*tools_among(turns), *_tools_beside(row.columns)]
        if tools and not settings.get("tools"):
            settings["tools"] = tools
        return traced_conversation(
            row, asked, answer_turns(row.columns.get("output"), row.place, "output"), "input", settings, "input.tools"
        )


def _tools_beside(columns: Mapping[str, Any]) -> list[Any]:
    """Definitions of tools in the attributes of the span that became the observation."""
    metadata = parsed(columns.get("metadata"))
    if not isinstance(metadata, dict):
        return []
    attributes, tools = parsed(metadata.get("attributes")), parsed(metadata.get("tools"))
    found = span_tools(attributes) if isinstance(attributes, dict) else []
    given = [parsed(tool) for tool in tools] if isinstance(tools, list) else []
    return found or [tool for tool in given if isinstance(tool, dict) and tool.get("type") == "function"]


def _scores(columns: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The scores, which the export writes as a list or as an object by name."""
    scores = parsed(columns.get("scores"))
    if isinstance(scores, dict):
        return [
            {"name": name, "value": value[0] if isinstance(value, list) and len(value) == 1 else value}
            for name, value in scores.items()
        ]
    return [score for score in scores if isinstance(score, dict)] if isinstance(scores, list) else []
