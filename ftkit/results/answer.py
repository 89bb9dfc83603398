"""An answer of a model, and how it was sampled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from ftkit.schema import DeclaredModel

__all__ = ["Answer", "FinishReason", "Sampling"]

FinishReason = Literal["stop", "length", "tool_calls", "error"]
"""Why an answer ended: the model ended its turn, ran into the token limit, called a tool, or could not be asked."""


class Sampling(DeclaredModel):
    """How answers are drawn. The default is greedy, so that the same model gives the same answer twice."""

    max_output_tokens: int = Field(default=512, ge=1, description="the longest answer, in tokens of the model")
    temperature: float = Field(default=0.0, ge=0.0, le=2.0, description="0 takes the likeliest token each time")
    top_p: float = Field(default=1.0, gt=0.0, le=1.0, description="nucleus sampling: the mass of tokens drawn from")
    seed: int = Field(default=0, ge=0, description="of the random draws; without effect at temperature 0")
    constrained: bool = Field(
        default=False, description="local models: hold answers to the output's schema, token by token; for text nothing"
    )


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back.

    Attributes:
        text: the assistant's text, special tokens removed.
        finish_reason: see :data:`FinishReason`.
        input_tokens: tokens of the request, as the place that answered counts them.
        output_tokens: tokens of the answer, the end of turn included.
        cached_tokens: how many of ``input_tokens`` were not computed again, because requests share a beginning.
        latency_s: seconds from the start of the call (or of its batch) until this answer was complete.
        cost_usd: what the call cost, in US dollars; ``None`` when no price is known.
        error: one sentence, when ``finish_reason`` is ``"error"``.
        tool_calls: the calls the model made, in OpenAI's form.
        logprob: natural logarithm of the probability that the model gave to this answer, all its tokens together (at
            temperature 1, whatever it was drawn at); ``None`` where the place does not say.
        retry_after_s: of an error that may pass (a rate limit, a fault of the server): seconds to wait before asking
            again, 0 when that was not said; ``None`` when asking again is no use.
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
