"""What requests and answers of chat completions and of the Responses API have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ftkit.backends.answer import Request
from ftkit.backends.hosted.request_plan import RequestPlan
from ftkit.catalog import InferencePrice
from ftkit.results.answer import Answer, FinishReason

__all__ = ["answer_with_usage", "common_body"]

_LONGEST = 10_000_000
"""Characters of an answer. A million tokens, the longest that any model writes, have fewer."""
_SHOWN = 1_000
"""Characters of a longer one that are kept."""


def common_body(
    model: str,
    request: Request,
    plan: RequestPlan,
    *,
    limit_field: str,
    effort: Callable[[str], dict[str, Any]],
    tool: Callable[[Mapping[str, Any]], dict[str, Any]] = dict,
) -> dict[str, Any]:
    """Write the part of a body that does not depend on the conversation.

    Args:
        model: the model's name at the host.
        request: what to ask.
        plan: how to ask the model.
        limit_field: name of the field that limits tokens.
        effort: writes an effort of reasoning.
        tool: writes a tool.

    Returns:
        The fields, without the plan's ``effort_fields``.
    """
    body: dict[str, Any] = {"model": model, limit_field: plan.token_limit, **plan.sampling}
    if plan.effort is not None and plan.effort_fields is None:
        body |= effort(plan.effort)
    if request.tools:
        body["tools"] = [tool(one) for one in request.tools]
    return body


def answer_with_usage(
    text: str,
    finish_reason: FinishReason,
    error: str | None,
    usage: Mapping[str, Any],
    *,
    names: tuple[str, str],
    price: InferencePrice | None,
    latency_s: float,
    tool_calls: list[Any] | None,
    reasoning_content: str | None,
) -> Answer:
    """Make an answer with its tokens and its cost.

    Args:
        text: its text.
        finish_reason: why it ended.
        error: why it is none; then ``finish_reason`` is ``"error"``.
        usage: the usage object of the response.
        names: what the API calls the tokens of the prompt and of the answer, e.g. ``("prompt", "completion")``.
        price: the price of the answer.
        latency_s: seconds that the call took.
        tool_calls: its calls.
        reasoning_content: what the model reasoned before it.

    Returns:
        The answer.
    """
    asked, answered = names
    if len(text) > _LONGEST or len(reasoning_content or "") > _LONGEST:
        problem = f"the host's answer has more than {_LONGEST:,} characters, and no model writes so many"
        text, reasoning_content, error = text[:_SHOWN], None, error or problem
    input_tokens, output_tokens = (int(usage.get(f"{name}_tokens") or 0) for name in names)
    cached = int((usage.get(f"{asked}_tokens_details") or {}).get("cached_tokens") or 0)
    reasoning = int((usage.get(f"{answered}_tokens_details") or {}).get("reasoning_tokens") or 0)
    return Answer(
        text=text,
        finish_reason="error" if error else finish_reason,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        latency_s=latency_s,
        cached_tokens=cached,
        cost_usd=None if price is None else price.cost(input_tokens, output_tokens, cached, reasoning),
        error=error,
        tool_calls=tool_calls or None,
        reasoning_content=reasoning_content or None,
        reasoning_tokens=reasoning,
    )
