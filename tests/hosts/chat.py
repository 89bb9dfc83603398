"""Chat completions of every fake, in OpenAI's shape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def completion(asked: dict[str, Any], answers: Callable[[str], str], reasoning: int = 0) -> dict[str, Any]:
    """The answer to a request: ``answers`` of its last message, with made-up usage."""
    message = {"role": "assistant", "content": answers(asked["messages"][-1]["content"]), "refusal": None}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": asked["model"],
        "choices": [{"index": 0, "finish_reason": "stop", "logprobs": None, "message": message}],
        "usage": {
            "prompt_tokens": 100,
            "completion_tokens": 10 + reasoning,
            "total_tokens": 110 + reasoning,
            "prompt_tokens_details": {"cached_tokens": 40},
            "completion_tokens_details": {"reasoning_tokens": reasoning},
        },
    }
