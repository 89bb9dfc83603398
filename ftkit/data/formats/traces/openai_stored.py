"""Stored completions of OpenAI's API, with their messages.

``GET /chat/completions`` lists completions without the messages that were sent; those of ``GET
/chat/completions/{id}/messages`` stand beside them in ``messages``, as ``ftkit data stored`` writes them.
Source: https://platform.openai.com/docs/api-reference/chat/list.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from ftkit.data.formats.base import Conversation, RawRow
from ftkit.data.formats.traces.base import (
    TraceFacts,
    TraceFormat,
    ends_at_limit,
    judged,
    number_of,
    scaled_feedback,
    time_of,
    traced_conversation,
)
from ftkit.data.formats.traces.turns import answer_turns, asked_turns

__all__ = ["OpenAIStored"]


class OpenAIStored(TraceFormat):
    """A completion with its messages. Numbers in its ``metadata`` are scores, and its ``feedback`` is a judgement."""

    name = "openai_stored"
    columns = ("messages", "choices", "model", "created", "metadata", "tools", "object")
    required = "messages and choices"

    @override
    def matches(self, columns: Mapping[str, Any]) -> bool:
        return columns.get("object") == "chat.completion" and "choices" in columns

    @override
    def facts(self, columns: Mapping[str, Any]) -> TraceFacts:
        metadata = columns.get("metadata")
        metadata = metadata if isinstance(metadata, dict) else {}
        scores = {str(name): number for name, value in metadata.items() if (number := number_of(value)) is not None}
        given_feedback = metadata.get("feedback")
        return TraceFacts(
            model=str(columns.get("model") or ""),
            at=time_of(columns.get("created")),
            scores=scores,
            feedback=judged(given_feedback),
            scaled=scaled_feedback(given_feedback),
            is_cut=ends_at_limit({"choices": columns.get("choices")}),
        )

    @override
    def read(self, row: RawRow) -> Conversation:
        columns = row.columns
        turns, choices = columns.get("messages"), columns.get("choices")
        missing = (
            "the completion has no messages; get them with GET /chat/completions/{id}/messages, as `ftkit data stored` "
            "does"
        )
        asked = asked_turns(turns, row.place, "messages", missing)
        answer = answer_turns({"choices": choices if isinstance(choices, list) else []}, row.place, "choices")
        return traced_conversation(row, asked, answer, "messages", columns, "tools")
