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
    asked_turns,
    call_settings,
    content_text,
    ends_at_limit,
    judged,
    number_of,
    openai_message,
    parsed,
    time_of,
    traced_conversation,
)
from ftkit.errors import DataError
from ftkit.task import Message

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
        for call in calls:
            own = [score for score in scores if score.get("observationId") in (None, call.get("id"))]
            yield {**call, "scores": [*_scores(call), *own]}

    @override
    def facts(self, columns: Mapping[str, Any]) -> TraceFacts:
        scores: dict[str, float] = {}
        feedback: bool | None = None
        for score in _scores(columns):
            name, value = str(score.get("name") or "score"), score.get("value", score.get("stringValue"))
            number = number_of(value)
            if number is not None:
                scores[name] = number
            if any(word in name.lower() for word in _FEEDBACK):
                verdict = judged(score.get("stringValue"))
                found = judged(value) if verdict is None else verdict
                feedback = found if feedback is None or found is False else feedback
        failed = columns.get("level") == "ERROR"
        return TraceFacts(
            model=str(columns.get("model") or columns.get("providedModelName") or ""),
            at=time_of(columns.get("startTime", columns.get("timestamp", columns.get("start_time")))),
            scores=scores,
            feedback=feedback,
            error=str(columns.get("statusMessage") or "the observation has the level ERROR") if failed else "",
            is_chat=columns.get("type") in (None, "GENERATION"),
            is_cut=ends_at_limit(parsed(columns.get("output"))),
        )

    @override
    def read(self, row: RawRow) -> Conversation:
        given, answer = parsed(row.columns.get("input")), parsed(row.columns.get("output"))
        turns = given.get("messages", given.get("prompt", given.get("input"))) if isinstance(given, dict) else given
        messages = asked_turns(turns, row, "input", "neither a text nor a list of messages")
        settings = call_settings(parsed(row.columns.get("modelParameters")), given)
        return traced_conversation(row, [*messages, _answer(answer, row)], "input", settings, "input.tools")


def _answer(answer: Any, row: RawRow) -> Message:
    if isinstance(answer, dict) and isinstance(answer.get("choices"), list) and answer["choices"]:
        answer = answer["choices"][0].get("message") if isinstance(answer["choices"][0], dict) else None
    if isinstance(answer, list) and len(answer) == 1:
        answer = answer[0]
    if isinstance(answer, dict) and ("role" in answer or "content" in answer or "tool_calls" in answer):
        return openai_message({"role": "assistant", **answer}, row.place, "output")
    text = content_text(answer, row.place, "output")
    if not text:
        raise DataError("there is no answer", place=row.place, field="output", problem="no_answer")
    return {"role": "assistant", "content": text}


def _scores(columns: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The scores, which the export writes as a list or as an object by name."""
    scores = parsed(columns.get("scores"))
    if isinstance(scores, dict):
        return [
            {"name": name, "value": value[0] if isinstance(value, list) and len(value) == 1 else value}
            for name, value in scores.items()
        ]
    return [score for score in scores if isinstance(score, dict)] if isinstance(scores, list) else []
