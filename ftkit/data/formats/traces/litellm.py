"""Logs of LiteLLM: its standard logging payload, and rows of the proxy's spend logs.

Source: https://docs.litellm.ai/docs/proxy/logging_spec (``StandardLoggingPayload``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from ftkit.data.formats.base import Conversation, RawRow
from ftkit.data.formats.traces.base import (
    TraceFacts,
    TraceFormat,
    asked_turns,
    ends_at_limit,
    judged,
    number_of,
    openai_message,
    parsed,
    time_of,
    traced_conversation,
)
from ftkit.errors import DataError

__all__ = ["LiteLLM"]

_CHAT = ("completion", "acompletion", "chat", "/chat/completions")


class LiteLLM(TraceFormat):
    """A call with its messages and its response. Scores and ``feedback`` are read from ``metadata``."""

    name = "litellm"
    columns = ("messages", "response", "model", "call_type", "startTime", "status", "metadata", "model_parameters")
    required = "messages and response"

    @override
    def matches(self, columns: Mapping[str, Any]) -> bool:
        own = ("call_type", "response_cost", "litellm_call_id", "custom_llm_provider", "spend")
        return "messages" in columns and "response" in columns and any(name in columns for name in own)

    @override
    def facts(self, columns: Mapping[str, Any]) -> TraceFacts:
        metadata = parsed(columns.get("metadata"))
        metadata = metadata if isinstance(metadata, dict) else {}
        given = metadata.get("scores")
        scores = {
            str(name): number
            for name, value in (given.items() if isinstance(given, dict) else ())
            if (number := number_of(value)) is not None
        }
        failed = columns.get("status") in ("failure", "failed", "error")
        call = columns.get("call_type")
        return TraceFacts(
            model=str(columns.get("model") or ""),
            at=time_of(columns.get("startTime", columns.get("start_time"))),
            scores=scores,
            feedback=judged(metadata.get("feedback", columns.get("feedback"))),
            error=str(columns.get("error_str") or "the call failed") if failed else "",
            is_chat=call is None or call in _CHAT,
            is_cut=ends_at_limit(parsed(columns.get("response"))),
        )

    @override
    def read(self, row: RawRow) -> Conversation:
        columns = row.columns
        turns, response = parsed(columns.get("messages")), parsed(columns.get("response"))
        messages = asked_turns(turns, row, "messages", "there are no messages; the proxy may leave them out")
        choices = response.get("choices") if isinstance(response, dict) else None
        if isinstance(choices, list) and choices and isinstance(choices[0], dict):
            answer = openai_message(choices[0].get("message"), row.place, "response.choices[0].message")
        elif isinstance(response, str) and response:
            answer = {"role": "assistant", "content": response}
        else:
            raise DataError("there is no answer", place=row.place, field="response", problem="no_answer")
        messages.append({**answer, "role": "assistant"})
        parameters = parsed(columns.get("model_parameters"))
        return traced_conversation(row, messages, "messages", parameters, "model_parameters.tools")
