"""A model's answer, and the sampling options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator
from typing_extensions import override

from ftkit.schema import DeclaredModel
from ftkit.task.reasoning_effort import ReasoningEffort

__all__ = ["DEFAULT_OUTPUT_TOKENS", "Answer", "FinishReason", "Sampling"]

FinishReason = Literal["stop", "length", "tool_calls", "error"]
"""Why an answer ended: end of turn, token limit, tool call, or error."""


DEFAULT_OUTPUT_TOKENS = 512
"""Length of an answer of which nothing is known."""


class Sampling(DeclaredModel):
    """Sampling options. The default is greedy decoding, which returns the same answer each time.

    Reasoning models do not take every option: what the catalogue says of a model decides what is sent. An option that
    was written and that the model does not take is refused by name, before any request.
    """

    max_output_tokens: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        default="auto",
        description='maximum length of an answer in tokens. "auto" follows from the task: its longest choice, its '
        f"schema, or the targets of the rows that are evaluated, with room to spare; {DEFAULT_OUTPUT_TOKENS} where "
        "nothing bounds the answer",
    )
    temperature: float = Field(default=0.0, ge=0.0, le=2.0, description="0 is greedy decoding")
    top_p: float = Field(
        default=1.0, gt=0.0, le=1.0, description="nucleus sampling: probability mass of the tokens to sample from"
    )
    seed: int = Field(default=0, ge=0, description="seed of the sampling; without effect at temperature 0")
    constrained: bool = Field(default=False, description="local models: constrain decoding to the output's schema")
    reasoning_effort: ReasoningEffort | None = Field(
        default=None,
        description="how much a reasoning model reasons before it answers. None: what its maker advises to start with, "
        "by the catalogue; for models that it does not list, the host's default",
    )
    max_reasoning_tokens: int | None = Field(
        default=None,
        ge=1,
        description="tokens that reasoning may take beside max_output_tokens; hosts limit the sum of both. None: what "
        "the model's maker advises to reserve",
    )

    @model_validator(mode="after")
    def _check_reasoning(self) -> Self:
        if self.reasoning_effort == "none" and self.max_reasoning_tokens is not None:
            raise ValueError('reasoning_effort="none" leaves nothing for max_reasoning_tokens; give one of them')
        return self

    @override
    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        # Only options that were written count as written in the copy.
        return type(self)(**{name: getattr(self, name) for name in self.model_fields_set} | dict(update or {}))

    @property
    def token_limit(self) -> int:
        """``max_output_tokens`` as a number: 512 where "auto" was not replaced."""
        return DEFAULT_OUTPUT_TOKENS if self.max_output_tokens == "auto" else self.max_output_tokens

    def with_output_tokens(self, tokens: int) -> Sampling:
        """Return the same options with another ``max_output_tokens``, which does not count as written.

        Args:
            tokens: the number.

        Returns:
            The options.
        """
        written = self.model_fields_set - {"max_output_tokens"}
        return Sampling.model_construct(written, **(dict(self) | {"max_output_tokens": tokens}))

    def with_seed(self, seed: int) -> Sampling:
        """Return the same options with another seed, which does not count as written.

        Args:
            seed: the seed.

        Returns:
            The options.
        """
        return Sampling.model_construct(self.model_fields_set, **(dict(self) | {"seed": seed}))


@dataclass(frozen=True, slots=True)
class Answer:
    """A model's answer to a request.

    Attributes:
        text: The assistant's text without special tokens.
        finish_reason: See :data:`FinishReason`.
        input_tokens: Tokens of the request, as the backend counts them.
        output_tokens: Tokens of the answer, including the end of turn and the reasoning.
        cached_tokens: How many of ``input_tokens`` came from a prefix cache.
        latency_s: Seconds from the start of the call (or of its batch) until the answer was complete.
        cost_usd: Cost of the call in US dollars; None if no price is known.
        error: Error message, if ``finish_reason`` is ``"error"``.
        tool_calls: Tool calls, in OpenAI's form.
        reasoning_content: What the model reasoned before it answered, as far as the backend returns it; None if
            nothing.
        reasoning_tokens: How many of ``output_tokens`` the model used for reasoning, as far as the backend counts them.
        logprob: Sum of the log-probabilities of the answer's tokens, at temperature 1; None if the backend does not
            return it.
        timed_out: Whether the request was given up because its time limit had passed.
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
    reasoning_content: str | None = None
    reasoning_tokens: int = 0
    timed_out: bool = False
