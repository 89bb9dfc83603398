"""Requests to chat completions, and the answers in their responses."""

from __future__ import annotations

from typing import Any

from ftkit.backends.answer import Request
from ftkit.backends.hosted.endpoint import Endpoint
from ftkit.backends.hosted.request_plan import RequestPlan
from ftkit.backends.openai_jobs.request_fields import answer_with_usage, common_body
from ftkit.backends.openai_jobs.response_format import response_format
from ftkit.catalog import InferencePrice
from ftkit.results.answer import Answer, FinishReason

__all__ = ["chat_answer", "chat_body"]

_FINISH_REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "stop",
}


def chat_body(endpoint: Endpoint, model: str, request: Request, plan: RequestPlan) -> dict[str, Any]:
    """Write the body of a request.

    Args:
        endpoint: the host.
        model: the model's name there.
        request: what to ask.
        plan: how to ask the model.

    Returns:
        The JSON body, without the plan's ``effort_fields``.
    """
    body = common_body(
        model, request, plan, limit_field=endpoint.token_limit, effort=lambda effort: {"reasoning_effort": effort}
    )
    body["messages"] = [
        {name: value for name, value in message.items() if name != "weight"} for message in request.messages
    ]
    schema = response_format(request.output, strict=endpoint.strict_schemas)
    if schema is not None:
        body["response_format"] = schema
    return body


def chat_answer(data: dict[str, Any], latency_s: float, price: InferencePrice | None) -> Answer:
    """Read the answer of a response.

    Args:
        data: the JSON body of the response.
        latency_s: seconds that the call took.
        price: the price of the answer.

    Returns:
        The answer; with an error if the host gave none.
    """
    choices = data.get("choices") or []
    message = (choices[0].get("message") or {}) if choices else {}
    reason = str(choices[0].get("finish_reason") or "stop") if choices else ""
    error = None
    if not choices:
        error = "the host sent no choices"
    elif reason == "content_filter":
        error = "the host's content filter cut the answer off"
    elif message.get("refusal"):
        error = f"the model refused: {message['refusal']}"
    # Hosts name the text of the reasoning in two ways.
    reasoned = message.get("reasoning_content") or message.get("reasoning")
    return answer_with_usage(
        str(message.get("content") or ""),
        _FINISH_REASONS.get(reason, "stop"),
        error,
        data.get("usage"),
        names=("prompt", "completion"),
        price=price,
        latency_s=latency_s,
        tool_calls=message.get("tool_calls"),
        reasoning_content=reasoned if isinstance(reasoned, str) else None,
    )
