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
    call_settings,
    ends_at_limit,
    judged,
    number_of,
    request_settings,
    response_settings,
    scaled_feedback,
    time_of,
    traced_conversation,
)
from ftkit.data.formats.traces.turns import answer_turns, asked_turns, parsed

__all__ = ["LiteLLM"]

_TOOLS = "model_parameters.tools"
_CHAT = (
    *("completion", "acompletion", "chat", "/chat/completions", "responses", "aresponses"),
    *("text_completion", "atext_completion", "anthropic_messages"),
)


class LiteLLM(TraceFormat):
    """A call with its messages and its response. Scores and ``feedback`` are read from ``metadata``."""

    name = "litellm"
    columns = (
        *("messages", "response", "model", "call_type", "startTime", "status", "metadata", "model_parameters"),
        "proxy_server_request",
    )
    required = "response, and messages or proxy_server_request"

    @override
    def matches(self, columns: Mapping[str, Any]) -> bool:
        own = ("call_type", "response_cost", "litellm_call_id", "custom_llm_provider", "spend")
        asked = "messages" in columns or "proxy_server_request" in columns
        return asked and "response" in columns and any(name in columns for name in own)

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
        given_feedback = metadata.get("feedback", columns.get("feedback"))
        return TraceFacts(
            model=str(columns.get("model") or ""),
            at=time_of(columns.get("startTime", columns.get("start_time"))),
            scores=scores,
            feedback=judged(given_feedback),
            scaled=scaled_feedback(given_feedback),
            error=str(columns.get("error_str") or "the call failed") if failed else "",
            is_chat=call is None or call in _CHAT,
            is_cut=ends_at_limit(parsed(columns.get("response"))),
        )

    @override
    def read(self, row: RawRow) -> Conversation:
        columns = row.columns
        turns, response = parsed(columns.get("messages")), parsed(columns.get("response"))
        request = _request(columns)
        turns = turns or request.get("messages") or request.get("input") or request.get("prompt")
        asked = asked_turns(turns, row.place, "messages", "there are no messages; the proxy may leave them out")
        settings = call_settings(
            response_settings(response), parsed(columns.get("model_parameters")), request_settings(request)
        )
        answer = answer_turns(columns.get("response"), row.place, "response")
        return traced_conversation(row, asked, answer, "messages", settings, _TOOLS)


def _request(columns: Mapping[str, Any]) -> dict[str, Any]:
    """The body of the request, which the proxy's database keeps where ``messages`` is empty."""
    request = parsed(columns.get("proxy_server_request"))
    body = parsed(request.get("body")) if isinstance(request, dict) else None
    found = body if isinstance(body, dict) else request
    return found if isinstance(found, dict) else {}
