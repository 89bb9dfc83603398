"""What goes back: a completion, or the chunks of one."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version
from typing import Any

from ftkit.server.chat.choice import Choice, Delta
from ftkit.server.state import new_id

__all__ = ["DONE", "Reply", "event"]

DONE = b"data: [DONE]\n\n"
"""The last event of a stream."""


def event(held: dict[str, Any]) -> bytes:
    """One server-sent event."""
    return b"data: " + json.dumps(held, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


class Reply:
    """One reply.

    Args:
        model: as the client named it.
        prompt_tokens: tokens of the prompt.
        usage_at_end: whether a stream's last chunk says how many tokens there were.
    """

    def __init__(self, model: str, prompt_tokens: int, *, usage_at_end: bool) -> None:
        self._head = {
            "id": new_id("chatcmpl-"),
            "created": int(time.time()),
            "model": model,
            "service_tier": "default",
            "system_fingerprint": f"ftkit-{version('ftkit')}",
        }
        self._prompt_tokens, self._usage_at_end = prompt_tokens, usage_at_end

    def whole(self, choices: Sequence[Choice]) -> dict[str, Any]:
        """The completion."""
        return {
            **self._head,
            "object": "chat.completion",
            "choices": [_choice(one) for one in choices],
            "usage": self.usage(choices),
        }

    def usage(self, choices: Sequence[Choice]) -> dict[str, Any]:
        """Tokens of the prompt, which counts once, and of all answers."""
        answered = sum(one.tokens for one in choices)
        return {
            "prompt_tokens": self._prompt_tokens,
            "completion_tokens": answered,
            "total_tokens": self._prompt_tokens + answered,
            "prompt_tokens_details": {"cached_tokens": choices[0].cached, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": 0,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        }

    def first(self, choices: Iterable[Choice]) -> Iterator[bytes]:
        """The chunks that begin each answer."""
        for choice in choices:
            yield self._chunk([_part(choice, {"role": "assistant", "content": "", "refusal": None})])

    def next(self, choice: Choice, delta: Delta) -> bytes:
        """The chunk of something new."""
        said: dict[str, Any] = {}
        if delta.calls:
            said["tool_calls"] = [{"index": number, **call} for number, call in enumerate(delta.calls)]
        if delta.text or not delta.calls:
            said["content"] = delta.text
        return self._chunk([_part(choice, said, delta.logprobs)])

    def last(self, choice: Choice) -> bytes:
        """The chunk that ends an answer."""
        return self._chunk([_part(choice, {}) | {"finish_reason": choice.finish_reason}])

    def end(self, choices: Sequence[Choice]) -> Iterator[bytes]:
        """What ends the stream."""
        if self._usage_at_end:
            yield self._chunk([], self.usage(choices))
        yield DONE

    def _chunk(self, choices: list[dict[str, Any]], usage: dict[str, Any] | None = None) -> bytes:
        held: dict[str, Any] = {**self._head, "object": "chat.completion.chunk", "choices": choices}
        if self._usage_at_end:
            held["usage"] = usage
        return event(held)


def _choice(choice: Choice) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": choice.text, "refusal": None, "annotations": []}
    if choice.calls:
        message |= {"tool_calls": choice.calls, "content": choice.text or None}
    return {
        "index": choice.index,
        "message": message,
        "logprobs": _logprobs(choice.logprobs),
        "finish_reason": choice.finish_reason,
    }


def _part(choice: Choice, delta: dict[str, Any], logprobs: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    return {"index": choice.index, "delta": delta, "logprobs": _logprobs(logprobs or []), "finish_reason": None}


def _logprobs(told: list[dict[str, Any]]) -> dict[str, Any] | None:
    return {"content": told, "refusal": None} if told else None
