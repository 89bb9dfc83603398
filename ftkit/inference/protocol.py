"""The protocol of an inference engine: add a request, get its tokens as events, cancel it, read statistics.

:class:`~ftkit.inference.engine.TorchEngine` implements it in the calling thread and
:class:`~ftkit.inference.engine_thread.EngineThread` in a thread of its own. An engine that talks to another server
implements the same methods.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from ftkit.errors import ModelError
from ftkit.inference.constrained import Grammar
from ftkit.inference.sampling import SamplingParams
from ftkit.modeling.tokenized_example import Ints

__all__ = [
    "EngineStats",
    "Failed",
    "Finished",
    "GenerationEvent",
    "GenerationRequest",
    "InferenceEngine",
    "OnEvent",
    "TokenEvent",
]


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One prompt to continue.

    Attributes:
        prompt: token ids, ``[tokens]``.
        max_tokens: largest number of tokens to generate.
        sampling: how each token is chosen.
        stop_token_ids: token ids that end the answer, e.g. the end of turn.
        stop: strings that end the answer and are not part of its text; they need ``decode``.
        adapter: name of a LoRA adapter of the engine; None for the base model.
        cache_scope: prompts of different scopes share no computed prefixes, so that nobody learns from
            ``cached_tokens`` or from the time of an answer what another scope asked.
        grammar: constrains the answer to an output schema.
        logprobs: which log-probabilities are wanted. ``"cheap"`` leaves out those for which an engine would run the
            model many times more, and ``"none"`` those for which it would run it once more; they are NaN then.
        top_logprobs: how many of the most likely tokens to report at each position.
        sampling_logprobs: report each token's log-probability at the temperature it was sampled at, too.
        decode: turns token ids into text. Without it, :attr:`TokenEvent.text` is empty.
    """

    prompt: Ints
    max_tokens: int
    sampling: SamplingParams = field(default_factory=SamplingParams)
    stop_token_ids: frozenset[int] = frozenset()
    stop: tuple[str, ...] = ()
    adapter: str | None = None
    cache_scope: str | None = None
    grammar: Grammar | None = None
    logprobs: Literal["all", "cheap", "none"] = "cheap"
    top_logprobs: int = 0
    sampling_logprobs: bool = False
    decode: Callable[[Sequence[int]], str] | None = None


@dataclass(frozen=True, slots=True)
class TokenEvent:
    """One generated token.

    Attributes:
        token_id: the token.
        logprob: natural logarithm of its probability at temperature 1, without grammar, in nats; NaN if the engine does
            not know it.
        sampling_logprob: the same at the temperature it was sampled at, if the request asked for it; else ``logprob``.
        top_logprobs: the most likely tokens at its position with their log-probabilities, as many as were asked for.
        text: text that is certain with this token. It may be empty (the bytes of a character are incomplete, or a stop
            string may be starting) and may hold the text of earlier tokens.
        is_stop: whether the token ends the turn or completes a stop string. It then has no text of its own.
    """

    token_id: int
    logprob: float
    sampling_logprob: float
    top_logprobs: tuple[tuple[int, float], ...] = ()
    text: str = ""
    is_stop: bool = False


@dataclass(frozen=True, slots=True)
class Finished:
    """The answer is complete.

    Attributes:
        finish_reason: ``"stop"`` if the model ended its turn or wrote a stop string, ``"length"`` at the token limit.
        output_tokens: tokens of the answer, the end of turn included.
        cached_tokens: leading tokens of the prompt whose keys and values were reused and not computed.
        seconds: time from when the engine started on the prompt until the answer was complete.
    """

    finish_reason: Literal["stop", "length"]
    output_tokens: int
    cached_tokens: int
    seconds: float


class SchemaTooComplexError(ModelError):
    """An answer cannot be held to its schema, because the grammar became too complex to follow."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The engine cannot answer the request.

    Attributes:
        error: why.
    """

    error: Exception


GenerationEvent = TokenEvent | Finished | Failed

OnEvent = Callable[[GenerationEvent], None]
"""Receives the events of one request; the last one is :class:`Finished` or :class:`Failed`."""


@dataclass(frozen=True, slots=True)
class EngineStats:
    """How busy an engine is.

    Attributes:
        running: answers that are being generated.
        waiting: requests that wait for room in the batch.
        max_running: largest number of answers that were generated together so far.
        steps: forward passes that generated one token for each running answer so far.
        prefix_cache_bytes: memory of the prefix cache.
    """

    running: int = 0
    waiting: int = 0
    max_running: int = 0
    steps: int = 0
    prefix_cache_bytes: int = 0


class InferenceEngine(Protocol):
    """A loaded model that continues prompts, many at a time."""

    @property
    def max_length(self) -> int | None:
        """Longest prompt with its answer, in tokens; None if the model does not say."""
        ...

    def add(self, request: GenerationRequest, on_event: OnEvent) -> Any:
        """Queue a request.

        Args:
            request: the prompt and how to continue it.
            on_event: called with every event, by the thread that runs the model. It must return quickly.

        Returns:
            A handle for :meth:`cancel`.
        """
        ...

    def cancel(self, handle: Any) -> None:
        """Stop generating an answer. No further events follow; a finished answer is left alone.

        Args:
            handle: what :meth:`add` returned.
        """
        ...

    def stats(self) -> EngineStats:
        """Report how busy the engine is.

        Returns:
            Counts of running and waiting requests, and of the work done so far.
        """
        ...
