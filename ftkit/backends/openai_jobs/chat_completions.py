"""Requests to chat completions, and the answers in their responses."""

from __future__ import annotations

from typing import Any

from ftkit.backends.answer import Request
from ftkit.backends.hosted.endpoint import Endpoint
from ftkit.backends.hosted.request_plan import RequestPlan
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
    body: dict[str, Any] = {
        "model": model,
        "messages": [
            {name: value for name, value in message.items() if name != "weight"} for message in request.messages
        ],
        endpoint.token_limit: plan.token_limit,
        **plan.sampling,
    }
    if plan.effort is not None and plan.effort_fields is None:
        body["reasoning_effort"] = plan.effort
    if request.tools:
        body["tools"] = list(request.tools)
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
    usage = data.get("usage") or {}
    input_tokens, output_tokens = int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0)
    cached = int((usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0)
    reasoning = int((usage.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0)
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
    return Answer(
        text=str(message.get("content") or ""),
        finish_reason="error" if error else _FINISH_REASONS.get(reason, "stop"),
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        latency_s=latency_s,
        cached_tokens=cached,
        cost_usd=None if price is None else price.cost(input_tokens, output_tokens, cached, reasoning),
        error=error,
        tool_calls=message.get("tool_calls") or None,
        reasoning_content=reasoned if isinstance(reasoned, str) else None,
        reasoning_tokens=reasoning,
    )
