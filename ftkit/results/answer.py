"""A model's answer, and the sampling options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from ftkit.schema import DeclaredModel

__all__ = ["Answer", "FinishReason", "Sampling"]

FinishReason = Literal["stop", "length", "tool_calls", "error"]
"""Why an answer ended: end of turn, token limit, tool call, or error."""


class Sampling(DeclaredModel):
    """Sampling options. The default is greedy decoding, which returns the same answer each time."""

    max_output_tokens: int = Field(default=512, ge=1, description="maximum length of an answer in tokens")
    temperature: float = Field(default=0.0, ge=0.0, le=2.0, description="0 is greedy decoding")
    top_p: float = Field(
        default=1.0, gt=0.0, le=1.0, description="nucleus sampling: probability mass of the tokens to sample from"
    )
    seed: int = Field(default=0, ge=0, description="seed of the sampling; without effect at temperature 0")
    constrained: bool = Field(default=False, description="local models: constrain decoding to the output's schema")


@dataclass(frozen=True, slots=True)
class Answer:
    """A model's answer to a request.

    Attributes:
        text: The assistant's text without special tokens.
        finish_reason: See :data:`FinishReason`.
        input_tokens: Tokens of the request, as the backend counts them.
        output_tokens: Tokens of the answer, including the end of turn.
        cached_tokens: How many of ``input_tokens`` came from a prefix cache.
        latency_s: Seconds from the start of the call (or of its batch) until the answer was complete.
        cost_usd: Cost of the call in US dollars; None if no price is known.
        error: Error message, if ``finish_reason`` is ``"error"``.
        tool_calls: Tool calls, in OpenAI's form.
        logprob: Sum of the log-probabilities of the answer's tokens, at temperature 1; None if the backend does not
            return it.
        retry_after_s: For a temporary error (a rate limit, a server error): seconds to wait before a retry, 0 if
            unknown. None if a retry cannot help.
    """

    text: str
    finish_reason: FinishReason
    input_tokens: int
    output_tokens: int
    latency_s: float
    cached_tokens: int = 0
    cost_usd: float | None = None
    error: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    logprob: float | None = None
    retry_after_s: float | None = None
