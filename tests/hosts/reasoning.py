"""Reasoning models of the fake: what they refuse, in the words of the real API, and the Responses API."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ReasoningModel:
    efforts: tuple[str, ...] = ("none", "low", "medium", "high", "xhigh", "max")
    default: str = "medium"
    only_responses: bool = False

    def tokens(self, asked: dict[str, Any]) -> int:
        """Tokens that it reasons with: more than any limit of an answer alone."""
        effort = asked.get("reasoning_effort") or (asked.get("reasoning") or {}).get("effort") or self.default
        return 0 if effort == "none" else 600


REASONING_MODELS = {
    "gpt-6-luna": ReasoningModel(),
    "gpt-7-unlisted": ReasoningModel(),
    "gpt-5-mini": ReasoningModel(("minimal", "low", "medium", "high")),
    "gpt-5-pro": ReasoningModel(("high",), "high", only_responses=True),
    "unlisted-pro": ReasoningModel(only_responses=True),
}


def refusal(model: ReasoningModel | None, asked: dict[str, Any], effort: str | None, *, chat: bool) -> str | None:
    """Why the model refuses a request."""
    if model is None:
        return None
    name = asked["model"]
    if chat and model.only_responses:
        return "This model is only supported in v1/responses and not in v1/chat/completions."
    if not chat and "seed" in asked:
        return "Unknown parameter: 'seed'."
    if effort is not None and effort not in model.efforts:
        named = "reasoning_effort" if chat else "reasoning.effort"
        return f"Unsupported value: '{named}' does not support '{effort}' with this model."
    if (effort or model.default) == "none":
        return None
    if chat and asked.get("tools") and "none" in model.efforts:
        return (
            f"Function tools with reasoning_effort are not supported for {name} in /v1/chat/completions. To use "
            "function tools, use /v1/responses or set reasoning_effort to 'none'."
        )
    for parameter in ("temperature", "top_p"):
        if asked.get(parameter, 1) != 1:
            value = asked[parameter]
            return (
                f"Unsupported value: '{parameter}' does not support {value} with this model. Only the default (1) "
                "value is supported."
            )
    return None


def response(asked: dict[str, Any], answers: Callable[[str], str], reasoning: int) -> dict[str, Any]:
    """The Responses API's answer: ``answers`` of the last message; a call, if tools are offered and none was called."""
    last = asked["input"][-1]
    text = last.get("content") or last.get("output") or ""
    output: list[dict[str, Any]] = []
    if reasoning:
        summary = [{"type": "summary_text", "text": "It says so."}]
        output.append({"id": "rs_1", "type": "reasoning", "summary": summary})
    limit = asked["max_output_tokens"]
    if reasoning + 10 > limit:
        cut = {"reason": "max_output_tokens"}
    elif asked.get("tools") and last["type"] == "message":
        cut = None
        call = {"id": "fc_1", "call_id": "call_1", "type": "function_call", "status": "completed"}
        output.append(call | {"name": asked["tools"][0]["name"], "arguments": "{}"})
    else:
        cut = None
        part = {"type": "output_text", "text": answers(text), "annotations": [], "logprobs": []}
        message = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
        output.append(message)
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": asked["model"],
        "status": "incomplete" if cut else "completed",
        "incomplete_details": cut,
        "error": None,
        "output": output,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": asked.get("tools", []),
        "usage": {
            "input_tokens": 100,
            "input_tokens_details": {"cached_tokens": 40},
            "output_tokens": min(limit, reasoning + 10),
            "output_tokens_details": {"reasoning_tokens": min(limit, reasoning)},
            "total_tokens": 100 + min(limit, reasoning + 10),
        },
    }
