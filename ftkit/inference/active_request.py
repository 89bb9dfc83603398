"""A request while an engine answers it, and the choice of the next token of several."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch

from ftkit.errors import ModelError
from ftkit.inference.constrained import GrammarState, mask_logits
from ftkit.inference.detokenizer import IncrementalDetokenizer
from ftkit.inference.kv_cache import KVBlock
from ftkit.inference.prefix_cache import CacheKey
from ftkit.inference.protocol import (
    Failed,
    Finished,
    GenerationEvent,
    GenerationRequest,
    OnEvent,
    SchemaTooComplexError,
    TokenEvent,
)
from ftkit.inference.sampling import SamplingState, adjust_logits, sample_tokens, token_logprobs
from ftkit.modeling.tokenized_example import Ints

__all__ = ["ActiveRequest", "choose_next_tokens"]

_RESERVE_TOKENS = 256
"""Tokens of an answer that memory is allocated for at once, where the memory limit allows it."""
_NO_NUMBERS = (
    "the model computes no numbers (NaN or infinite): its weights are damaged, its training has diverged, or it "
    "overflows in this precision"
)


class ActiveRequest:
    """A request that is waiting or being answered.

    Args:
        request: what to generate.
        on_event: receives its events.

    Attributes:
        ids: tokens of the answer so far.
        cached: leading tokens of the prompt that were reused.
        computed: leading tokens of :attr:`known` whose keys and values are in the cache.
        source: another request with the same prompt, whose row will be copied once it is computed.
        copies: the requests that wait for this one's row.
        blocks: keys and values from the prefix cache with which the row starts.
        cache: where each row has a cache of its own, that cache.
        beyond: whether it is computed with the rotary factors of long rows.
        finished: whether the last event was sent, or the request was cancelled.
    """

    __slots__ = (
        "_detokenizer", "_on_event", "_started", "beyond", "blocks", "cache", "cached", "computed", "copies",
        "finished", "grammar", "ids", "request", "sampling", "source",
    )  # fmt: skip

    def __init__(self, request: GenerationRequest, on_event: OnEvent) -> None:
        self.request = request
        self.sampling = SamplingState(request.sampling)
        self.grammar: GrammarState | None = None if request.grammar is None else request.grammar.start()
        self.ids: list[int] = []
        self.cached = self.computed = 0
        self.source: ActiveRequest | None = None
        self.copies: list[ActiveRequest] = []
        self.blocks: list[KVBlock] = []
        self.cache: Any = None
        self.beyond = False
        self.finished = False
        self._on_event = on_event
        self._started: float | None = None
        self._detokenizer = None if request.decode is None else IncrementalDetokenizer(request.decode, request.stop)

    @classmethod
    def probe(cls) -> ActiveRequest:
        """Make a request of one token, to try a model with.

        Returns:
            A request that nobody waits for.
        """
        return cls(GenerationRequest(np.zeros(1, dtype=np.int32), 1), lambda event: None)

    @property
    def prompt(self) -> Ints:
        """The prompt's token ids, ``[tokens]``."""
        return self.request.prompt

    @property
    def adapter(self) -> str | None:
        """Name of the adapter that answers; None for the base model."""
        return self.request.adapter

    @property
    def cache_key(self) -> CacheKey:
        """Which prompts it may share computed prefixes with: of its adapter, its scope and its rotary factors."""
        adapter = self.request.adapter
        return f"{adapter or ''} beyond" if self.beyond else adapter, self.request.cache_scope

    @property
    def known(self) -> Ints:
        """Token ids of the prompt and the answer so far, ``[tokens]``."""
        if not self.ids:
            return self.request.prompt
        return np.concatenate([self.request.prompt, np.asarray(self.ids, dtype=self.request.prompt.dtype)])

    @property
    def length(self) -> int:
        """Tokens of the prompt and the answer so far."""
        return len(self.request.prompt) + len(self.ids)

    @property
    def reserve(self) -> int:
        """Tokens of the answer that memory should be allocated for."""
        return min(self.request.max_tokens - len(self.ids), _RESERVE_TOKENS)

    def start(self) -> None:
        """Start the clock, the first time that it is admitted to a batch."""
        if self._started is None:
            self._started = time.monotonic()

    def fail(self, error: Exception) -> None:
        """Send that there will be no answer.

        Args:
            error: why.
        """
        if not self.finished:
            self.finished = True
            self._on_event(Failed(error))

    def accept(
        self, token: int, logprob: float, sampling_logprob: float, top_logprobs: tuple[tuple[int, float], ...]
    ) -> None:
        """Add a token to the answer and send its event; sets :attr:`finished` after the last one.

        Args:
            token: its id.
            logprob: its log-probability at temperature 1.
            sampling_logprob: its log-probability at the sampling temperature.
            top_logprobs: the most likely tokens at its position.
        """
        self.ids.append(token)
        self.sampling.record(token)
        if self.grammar is not None:
            self.grammar.accept(token)
            if self.grammar.failed:
                self.fail(SchemaTooComplexError("the schema is too complex to hold the answer to it"))
        if self.finished:  # cancelled
            return
        text, stopped = "", token in self.request.stop_token_ids
        if self._detokenizer is not None:
            text = self._detokenizer.push(token)
            stopped = stopped or self._detokenizer.stopped
        done = stopped or len(self.ids) >= self.request.max_tokens
        if done and self._detokenizer is not None:
            text += self._detokenizer.end()
        self._send(TokenEvent(token, logprob, sampling_logprob, top_logprobs, text, stopped))
        if done:
            self.finished = True
            seconds = 0.0 if self._started is None else time.monotonic() - self._started
            self._send(Finished("stop" if stopped else "length", len(self.ids), self.cached, seconds))

    def _send(self, event: GenerationEvent) -> None:
        self._on_event(event)


def choose_next_tokens(rows: list[ActiveRequest], logits: torch.Tensor) -> list[ActiveRequest]:
    """Choose the next token of several answers and send their events. One whose logits are no numbers fails.

    Args:
        rows: the answers.
        logits: ``[rows, vocabulary]``, float32.

    Returns:
        The answers that are finished.
    """
    if not rows:
        return []
    states = [row.sampling for row in rows]
    normaliser = logits.logsumexp(dim=-1)
    computed = normaliser.isfinite().tolist()
    if not all(computed):
        logits = logits.masked_fill(~normaliser.isfinite().unsqueeze(1), 0.0)
    chosen = sample_tokens(mask_logits(adjust_logits(logits, states), [row.grammar for row in rows]), states)
    ids = torch.tensor(chosen, device=logits.device).unsqueeze(1)
    logprobs: list[float] = (logits.gather(1, ids).squeeze(1) - normaliser).tolist()
    sampling_logprobs = [*logprobs]
    for temperature in {row.request.sampling.temperature for row in rows if row.request.sampling_logprobs} - {0.0, 1.0}:
        numbers = [number for number, row in enumerate(rows) if row.request.sampling.temperature == temperature]
        scaled = token_logprobs(logits[numbers] / temperature, [chosen[number] for number in numbers]).tolist()
        for number, logprob in zip(numbers, scaled, strict=True):
            sampling_logprobs[number] = logprob
    for at, (row, token) in enumerate(zip(rows, chosen, strict=True)):
        if not computed[at]:
            row.fail(ModelError(_NO_NUMBERS))
            continue
        top: tuple[tuple[int, float], ...] = ()
        if row.request.top_logprobs:
            best = logits[at].topk(row.request.top_logprobs)
            top = tuple(zip(best.indices.tolist(), (best.values - normaliser[at]).tolist(), strict=True))
        row.accept(token, logprobs[at], sampling_logprobs[at], top)
    return [row for row in rows if row.finished]
