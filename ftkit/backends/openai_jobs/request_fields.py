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
_MOST_TOKENS = 10**9
"""A larger number of tokens is none of one answer."""


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
    usage: object,
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
        The answer. Its cost is not known where the host does not say how many tokens it took.
    """
    asked, answered = names
    if len(text) > _LONGEST or len(reasoning_content or "") > _LONGEST:
        problem = f"the host's answer has more than {_LONGEST:,} characters, and no model writes so many"
        text, reasoning_content, error = text[:_SHOWN], None, error or problem
    usage = usage if isinstance(usage, Mapping) else {}
    input_tokens, output_tokens = (_count(usage.get(f"{name}_tokens")) for name in names)
    cached = min(input_tokens, _count(_details(usage, asked).get("cached_tokens")))
    reasoning = min(output_tokens, _count(_details(usage, answered).get("reasoning_tokens")))
    counted = input_tokens > 0 or bool(error)  # every prompt has tokens
    return Answer(
        text=text,
        finish_reason="error" if error else finish_reason,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        latency_s=latency_s,
        cached_tokens=cached,
        cost_usd=None if price is None or not counted else price.cost(input_tokens, output_tokens, cached, reasoning),
        error=error,
        tool_calls=tool_calls or None,
        reasoning_content=reasoning_content or None,
        reasoning_tokens=reasoning,
    )


def _details(usage: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = usage.get(f"{name}_tokens_details")
    return found if isinstance(found, Mapping) else {}


def _count(value: object) -> int:
    """A number of tokens; 0 where a host gives none, or what is no number of tokens."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST_TOKENS else 0
