"""Answers to many prompts at once: submit them to an engine, collect what it generates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any

from ftkit.inference.batch_settings import BatchSettings
from ftkit.inference.constrained import Grammar
from ftkit.inference.engine import TorchEngine
from ftkit.inference.limits import MAX_BATCH_SIZE, PASS_TOKENS, STEP_TOKENS
from ftkit.inference.multi_lora import MultiLoRAModel
from ftkit.inference.protocol import (
    Failed,
    GenerationEvent,
    GenerationRequest,
    InferenceEngine,
    TokenEvent,
)
from ftkit.inference.sampling import SamplingParams
from ftkit.modeling.pretrained import Pretrained
from ftkit.modeling.tokenized_example import Ints

__all__ = ["Generation", "PendingGenerations", "generate"]


@dataclass(frozen=True, slots=True)
class Generation:
    """One answer in tokens.

    Attributes:
        ids: the generated tokens, the end of turn included if the model wrote it.
        stopped: whether the model ended its turn; otherwise the token limit ended the answer.
        cached: leading tokens of the prompt that were computed for another prompt and reused.
        seconds: time from when the engine started on the prompt until the answer was complete.
        logprob: log-probability of ``ids`` at temperature 1, without grammar, whatever the sampling temperature; NaN if
            the engine does not know it.
        logprobs: log-probability of each token at the sampling temperature (1 if that is 0), without grammar.
    """

    ids: tuple[int, ...]
    stopped: bool
    cached: int
    seconds: float
    logprob: float
    logprobs: tuple[float, ...]


class PendingGenerations:
    """Prompts that an engine is answering.

    Args:
        engine: the engine.
        prompts: token ids of each prompt.
        max_new_tokens: largest number of tokens of an answer; or of each prompt's answer.
        temperature: 0 takes the most likely token each time.
        top_p: nucleus sampling.
        seed: prompt number ``n`` has random numbers of its own, from ``(seed, n)``.
        grammars: the grammar of each prompt, or None.
        stop_token_ids: token ids that end an answer.
        adapter: name of the engine's adapter that answers.
        on_done: called with each prompt's number by the engine's thread when its answer is complete.
        numbers: the ``n`` of each prompt's random numbers; its place among the prompts by default.
        sampling_logprobs: whether :attr:`Generation.logprobs` is asked for. Without it they are those at temperature 1.

    Attributes:
        futures: the answer to each prompt.
    """

    def __init__(
        self,
        engine: InferenceEngine,
        prompts: Sequence[Ints],
        *,
        max_new_tokens: int | Sequence[int],
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int = 0,
        grammars: Sequence[Grammar | None] | None = None,
        stop_token_ids: Sequence[int] = (),
        adapter: str | None = None,
        on_done: Callable[[int], None] | None = None,
        numbers: Sequence[int] | None = None,
        sampling_logprobs: bool = True,
    ) -> None:
        self._engine = engine
        self.futures: list[Future[Generation]] = [Future() for _ in prompts]
        self._handles: list[Any] = []
        stops = frozenset(stop_token_ids)
        # Prompts of similar length are neighbours, so that little is padded. The order changes no answer.
        for number in sorted(range(len(prompts)), key=lambda number: (len(prompts[number]), number)):
            request = GenerationRequest(
                prompts[number],
                max_new_tokens if isinstance(max_new_tokens, int) else max_new_tokens[number],
                SamplingParams(temperature, top_p, seed, number if numbers is None else numbers[number]),
                stops,
                adapter=adapter,
                grammar=None if grammars is None else grammars[number],
                sampling_logprobs=sampling_logprobs,
            )
            collect = partial(_collect, self.futures[number], [], number, on_done)
            self._handles.append(engine.add(request, collect))

    def cancel(self) -> None:
        """Cancel the answers that are not complete."""
        for handle in self._handles:
            self._engine.cancel(handle)


def _collect(
    future: Future[Generation],
    tokens: list[TokenEvent],
    number: int,
    on_done: Callable[[int], None] | None,
    event: GenerationEvent,
) -> None:
    if isinstance(event, TokenEvent):
        tokens.append(event)
        return
    if isinstance(event, Failed):
        future.set_exception(event.error)
    else:
        logprob = 0.0
        for token in tokens:
            logprob += token.logprob
        future.set_result(
            Generation(
                tuple(token.token_id for token in tokens),
                event.finish_reason == "stop",
                event.cached_tokens,
                event.seconds,
                logprob,
                tuple(token.sampling_logprob for token in tokens),
            )
        )
    if on_done is not None:
        on_done(number)


def generate(
    pretrained: Pretrained,
    prompts: Sequence[Ints],
    *,
    max_new_tokens: int,
    temperature: float = 0.0,
    top_p: float = 1.0,
    seed: int = 0,
    grammars: Sequence[Grammar | None] | None = None,
    numbers: Sequence[int] | None = None,
) -> list[Generation]:
    """Answer prompts with a model that this thread owns, e.g. one in training.

    The calling thread computes. The same prompts, options and weights give the same bits. An answer depends on the
    other prompts only by rounding.

    Args:
        pretrained: the loaded model.
        prompts: token ids of each prompt.
        max_new_tokens: largest number of tokens of an answer.
        temperature: 0 takes the most likely token each time.
        top_p: nucleus sampling.
        seed: prompt number ``n`` has random numbers of its own, from ``(seed, n)``.
        grammars: the grammar of each prompt, or None.
        numbers: the ``n`` of each prompt's random numbers; its place among the prompts by default.

    Returns:
        An answer for each prompt, in their order.
    """
    if not prompts:
        return []
    longest = max(map(len, prompts))
    model = MultiLoRAModel(pretrained)
    try:
        settings = BatchSettings(
            rows=MAX_BATCH_SIZE, prefix_tokens=2 * longest, pass_tokens=PASS_TOKENS, step_tokens=STEP_TOKENS
        )
        engine = TorchEngine(model, settings)
        pending = PendingGenerations(
            engine,
            prompts,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            top_p=top_p,
            seed=seed,
            grammars=grammars,
            stop_token_ids=pretrained.chat_template.stop_ids,
            numbers=numbers,
        )
        engine.run()
        return [future.result() for future in pending.futures]
    finally:
        model.close()
