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

_TOOLS = "model_parameters.tools"
_CHAT = ("completion", "acompletion", "chat", "/chat/completions", "responses", "aresponses")


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
        request = _request(columns)
        parameters = parsed(columns.get("model_parameters")) or request
        turns = turns or request.get("messages") or request.get("input")
        messages = asked_turns(turns, row, "messages", "there are no messages; the proxy may leave them out")
        if request.get("instructions") and isinstance(request["instructions"], str):
            messages.insert(0, {"role": "system", "content": request["instructions"]})
        choices, output = (
            (response.get("choices"), response.get("output")) if isinstance(response, dict) else (None, None)
        )
        if isinstance(choices, list) and choices and isinstance(choices[0], dict):
            answer = openai_message(choices[0].get("message"), row.place, "response.choices[0].message")
        elif isinstance(output, list) and output:  # the items of a response of the Responses API
            parameters = parsed(columns.get("model_parameters")) or request
            return traced_conversation(
                row, [*messages, *output], "response.output", parameters, "model_parameters.tools"
            )
        elif isinstance(response, str) and response:
            answer = {"role": "assistant", "content": response}
        else:
            raise DataError("there is no answer", place=row.place, field="response", problem="no_answer")
        messages.append({**answer, "role": "assistant"})
        return traced_conversation(row, messages, "messages", parameters, _TOOLS)


def _request(columns: Mapping[str, Any]) -> dict[str, Any]:
    """The body of the request, which the proxy's database keeps where ``messages`` is empty."""
    request = parsed(columns.get("proxy_server_request"))
    body = parsed(request.get("body")) if isinstance(request, dict) else None
    found = body if isinstance(body, dict) else request
    return found if isinstance(found, dict) else {}
