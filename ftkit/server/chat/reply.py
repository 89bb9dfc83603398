"""Responses: a completion, or the chunks of a stream."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version
from typing import Any

from ftkit.server.chat.choice import Choice, Delta
from ftkit.server.state import new_id

__all__ = ["DONE", "ReplyBuilder", "dumps_in_pieces", "event", "obfuscated"]

_PIECE_TOKENS = 256
_PADDED_BYTES = 64
"""With ``include_obfuscation``, the size of a chunk is a multiple of this."""

DONE = b"data: [DONE]\n\n"
"""The last event of a stream."""


def event(data: dict[str, Any]) -> bytes:
    """Format a server-sent event.

    Args:
        data: the event's data.

    Returns:
        The event in UTF-8.
    """
    return b"data: " + json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


def obfuscated(data: dict[str, Any]) -> dict[str, Any]:
    """Pad the data of an event, so that who sees only its size learns less of its text.

    Args:
        data: the event's data.

    Returns:
        The data with ``obfuscation``. As an event it has a multiple of 64 bytes.
    """
    length = len(event({**data, "obfuscation": ""}))
    return {**data, "obfuscation": new_id("", -length % _PADDED_BYTES)}


async def dumps_in_pieces(completion: dict[str, Any]) -> bytes:
    """Write a completion as JSON. Between pieces of its log-probabilities, which may be many, other requests come.

    Args:
        completion: a completion object of OpenAI's API.

    Returns:
        The JSON in UTF-8.
    """
    mark = new_id("logprobs-")
    choices = [
        {**choice, "logprobs": {**choice["logprobs"], "content": mark}} if choice["logprobs"] else choice
        for choice in completion["choices"]
    ]
    before, *others = _dumps({**completion, "choices": choices}).split(f'"{mark}"')
    texts = [before]
    lists = [choice["logprobs"]["content"] for choice in completion["choices"] if choice["logprobs"]]
    for tokens, after in zip(lists, others, strict=True):
        pieces = []
        for start in range(0, len(tokens), _PIECE_TOKENS):
            pieces.append(_dumps(tokens[start : start + _PIECE_TOKENS])[1:-1])
            await asyncio.sleep(0)
        texts += ["[", ",".join(pieces), "]", after]
    return "".join(texts).encode()


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


class ReplyBuilder:
    """Builds the response to a request.

    Args:
        model: the client's name for the model.
        prompt_tokens: number of tokens of the prompt.
        usage_at_end: whether the last chunk of a stream contains the usage.
        obfuscated: whether chunks are padded to a few sizes, so that who sees only their sizes learns less of the text.
    """

    def __init__(self, model: str, prompt_tokens: int, *, usage_at_end: bool, obfuscated: bool = False) -> None:
        self._head = {
            "id": new_id("chatcmpl-"),
            "created": int(time.time()),
            "model": model,
            "service_tier": "default",
            "system_fingerprint": f"ftkit-{version('ftkit')}",
        }
        self._prompt_tokens, self._usage_at_end = prompt_tokens, usage_at_end
        self._obfuscated = obfuscated

    def completion(self, choices: Sequence[Choice]) -> dict[str, Any]:
        """Build a chat completion.

        Args:
            choices: complete answers.

        Returns:
            A completion object of OpenAI's API.
        """
        return {
            **self._head,
            "object": "chat.completion",
            "choices": [_choice_object(choice) for choice in choices],
            "usage": self.usage(choices),
        }

    def usage(self, choices: Sequence[Choice]) -> dict[str, Any]:
        """Count the tokens of the prompt (once) and of all answers.

        Args:
            choices: complete answers.

        Returns:
            A usage object of OpenAI's API.
        """
        completion_tokens = sum(choice.tokens for choice in choices)
        return {
            "prompt_tokens": self._prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": self._prompt_tokens + completion_tokens,
            "prompt_tokens_details": {"cached_tokens": choices[0].cached, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": sum(choice.thought_tokens for choice in choices),
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        }

    def role_chunks(self, choices: Iterable[Choice]) -> Iterator[bytes]:
        """Build the first chunk of each answer.

        Args:
            choices: the answers.

        Yields:
            Server-sent events.
        """
        for choice in choices:
            yield self._chunk([_choice_delta(choice, {"role": "assistant", "content": "", "refusal": None})])

    def delta_chunks(self, choice: Choice, delta: Delta) -> Iterator[bytes]:
        """Build the chunks with the new part of an answer.

        Args:
            choice: the answer.
            delta: its new part.

        Yields:
            Server-sent events. As at OpenAI, each holds one part of a call at most: clients read no more.
        """
        if delta.thought:
            fields = {"reasoning_content": delta.thought}
            yield self._chunk([_choice_delta(choice, fields)], padded=self._obfuscated)
        if delta.text or delta.logprobs:
            fields = {"content": delta.text}
            yield self._chunk([_choice_delta(choice, fields, delta.logprobs)], padded=self._obfuscated)
        for call in delta.calls:
            yield self._chunk([_choice_delta(choice, {"tool_calls": [call]})], padded=self._obfuscated)

    def finish_chunk(self, choice: Choice) -> bytes:
        """Build the last chunk of an answer.

        Args:
            choice: the complete answer.

        Returns:
            A server-sent event.
        """
        return self._chunk([_choice_delta(choice, {}) | {"finish_reason": choice.finish_reason}])

    def final_events(self, choices: Sequence[Choice]) -> Iterator[bytes]:
        """Build the events that end the stream.

        Args:
            choices: the complete answers.

        Yields:
            Server-sent events.
        """
        if self._usage_at_end:
            yield self._chunk([], self.usage(choices))
        yield DONE

    def _chunk(
        self, choices: list[dict[str, Any]], usage: dict[str, Any] | None = None, *, padded: bool = False
    ) -> bytes:
        chunk: dict[str, Any] = {**self._head, "object": "chat.completion.chunk", "choices": choices}
        if self._usage_at_end:
            chunk["usage"] = usage
        return event(obfuscated(chunk) if padded else chunk)


def _choice_object(choice: Choice) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": choice.text, "refusal": None, "annotations": []}
    if choice.thought:
        message |= {"reasoning_content": choice.thought}
    if choice.calls:
        message |= {"tool_calls": choice.calls, "content": choice.text or None}
    return {
        "index": choice.index,
        "message": message,
        "logprobs": _logprobs(choice.logprobs),
        "finish_reason": choice.finish_reason,
    }


def _choice_delta(
    choice: Choice, delta: dict[str, Any], logprobs: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    return {"index": choice.index, "delta": delta, "logprobs": _logprobs(logprobs or []), "finish_reason": None}


def _logprobs(tokens: list[dict[str, Any]]) -> dict[str, Any] | None:
    return {"content": tokens, "refusal": None} if tokens else None
