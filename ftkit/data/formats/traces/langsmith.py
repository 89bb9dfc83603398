"""Runs that LangSmith exports: ``client.list_runs`` as JSON Lines, or a bulk export.

Source: https://docs.langchain.com/langsmith/run-data-format.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from ftkit.data.formats.base import Conversation, RawRow
from ftkit.data.formats.traces.base import (
    TraceFacts,
    TraceFormat,
    call_settings,
    ends_at_limit,
    number_of,
    request_settings,
    response_settings,
    time_of,
    traced_conversation,
)
from ftkit.data.formats.traces.feedback import Judgements
from ftkit.data.formats.traces.turns import answer_turns, asked_turns, parsed

__all__ = ["LangSmith"]


class LangSmith(TraceFormat):
    """A run of a model (``run_type`` ``llm``), with messages of OpenAI or of LangChain."""

    name = "langsmith"
    columns = ("inputs", "outputs", "run_type", "start_time", "extra", "feedback_stats", "error")
    required = "inputs and outputs"

    @override
    def matches(self, columns: Mapping[str, Any]) -> bool:
        return "inputs" in columns and "outputs" in columns and ("run_type" in columns or "dotted_order" in columns)

    @override
    def facts(self, columns: Mapping[str, Any]) -> TraceFacts:
        judgements = Judgements()
        stats = parsed(columns.get("feedback_stats"))
        for name, values in (stats if isinstance(stats, dict) else {}).items():
            average = number_of(values.get("avg")) if isinstance(values, dict) else number_of(values)
            if average is not None:
                judgements.add(str(name), average)
        extra = parsed(columns.get("extra"))
        metadata = extra.get("metadata") if isinstance(extra, dict) else None
        invocation = extra.get("invocation_params") if isinstance(extra, dict) else None
        model = ""
        for place, names in ((metadata, ("ls_model_name",)), (invocation, ("model", "model_name"))):
            for name in names:
                model = model or str(place.get(name) or "") if isinstance(place, dict) else model
        return TraceFacts(
            model=model,
            at=time_of(columns.get("start_time")),
            scores=judgements.scores,
            feedback=judgements.feedback,
            scaled=judgements.scaled,
            error=str(
                columns.get("error") or (columns.get("status") in ("error", "pending") and "it did not end") or ""
            ),
            is_chat=columns.get("run_type") in (None, "llm"),
            is_cut=ends_at_limit(parsed(columns.get("outputs"))),
        )

    @override
    def read(self, row: RawRow) -> Conversation:
        given, said = parsed(row.columns.get("inputs")), parsed(row.columns.get("outputs"))
        turns = given
        if isinstance(given, dict):
            names = ("messages", "prompts", "input", "prompt")
            turns = next((given[name] for name in names if given.get(name) is not None), None)
        if isinstance(turns, list) and turns and isinstance(turns[0], list):
            turns = turns[0]  # LangChain asks in batches
        if isinstance(turns, list) and turns and isinstance(turns[0], str):
            turns = turns[0]
        asked = asked_turns(turns, row.place, "inputs.messages", "there are no messages")
        extra = parsed(row.columns.get("extra"))
        beside = extra.get("invocation_params") if isinstance(extra, dict) else None
        settings = call_settings(response_settings(said), beside, request_settings(given))
        return traced_conversation(row, asked, _answer(said, row), "inputs", settings, "inputs.tools")


def _answer(said: Any, row: RawRow) -> list[Any]:
    """The answer, of LangChain's generations, of OpenAI's choices or response, or of the last message."""
    found: Any = said
    if isinstance(said, dict):
        messages = said.get("messages")
        if isinstance(messages, list) and messages:
            found = messages[-1]
        for name in ("generations", "message"):
            if said.get(name):
                found = said[name]
        if isinstance(said.get("output"), str | dict) and said["output"]:
            found = said["output"]
    while isinstance(found, list) and found and isinstance(found[0], list):
        found = found[0]
    return answer_turns(found, row.place, "outputs")
