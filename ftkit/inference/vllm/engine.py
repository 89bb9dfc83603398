"""An inference engine that asks a vLLM server by token ids."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from typing_extensions import override

from ftkit.errors import FtkitError, ModelError
from ftkit.inference.engine_error import EngineError
from ftkit.inference.protocol import (
    EngineStats,
    Failed,
    Finished,
    GenerationRequest,
    InferenceEngine,
    OnEvent,
    TokenEvent,
)
from ftkit.inference.sampling import SamplingParams
from ftkit.inference.vllm.answer import Answer, cached_tokens, choices
from ftkit.inference.vllm.client import VLLMClient

__all__ = ["VLLMEngine"]

_PATH = "/v1/completions"
_CHEAP_TOKENS = 64
"""Longest answer that is held to a grammar and has log-probabilities although not all are wanted: each token takes a
request."""
_SILENCE_S = 600.0
"""How long a server may send no token of an answer, whatever else it sends, in seconds."""
_AFTER_END_S = 10.0
"""How long what follows the last token is waited for, in seconds: the usage, and that the server is done."""
_SILENT = "the server of the model does not answer"


@dataclass(slots=True, eq=False)
class _Asked:
    """A request that is being answered."""

    request: GenerationRequest
    on_event: OnEvent
    task: asyncio.Task[None] | None = None
    finished: bool = False

    def send(self, event: Any) -> None:
        if not self.finished:
            self.finished = isinstance(event, Finished | Failed)
            self.on_event(event)


class VLLMEngine(InferenceEngine):
    """Asks the completions API of a vLLM server. Any thread may use it; a thread of its own sends the requests.

    A prompt is sent as token ids and a grammar in llguidance's dialect of Lark, so both are those of ftkit's own
    engine. Random numbers are vLLM's, from a seed that follows from the request's; at temperature 0 there are none.

    Args:
        client: calls to the server.
        base: name of the base model there.
        max_length: longest prompt with its answer, in tokens.
        rows: largest number of answers at a time; further requests wait.
        vocabulary: number of the model's token ids; None if it is not known.
        processed: whether the server computes log-probabilities at the temperature of the request and among the tokens
            that it may take (``--logprobs-mode processed_logprobs``), and not at temperature 1 among all.
        explain: turns the error of a call into the one to raise, e.g. if the server has ended.
    """

    def __init__(
        self,
        client: VLLMClient,
        *,
        base: str,
        max_length: int | None,
        rows: int,
        vocabulary: int | None = None,
        processed: bool = False,
        explain: Callable[[ModelError], ModelError] = lambda error: error,
    ) -> None:
        self._client, self._base, self._max_length, self._rows = client, base, max_length, rows
        self._vocabulary, self._processed, self._explain = vocabulary, processed, explain
        self._room = asyncio.Semaphore(rows)
        self._asked: set[_Asked] = set()
        self._running = self._max_running = self._steps = 0
        self._loop = asyncio.new_event_loop()
        self._closed = False
        self._thread = threading.Thread(target=self._loop.run_forever, name="ftkit-vllm", daemon=True)
        self._thread.start()

    @property
    @override
    def max_length(self) -> int | None:
        return self._max_length

    @override
    def add(self, request: GenerationRequest, on_event: OnEvent) -> _Asked:
        asked = _Asked(request, on_event)
        problem = _unsupported(request, processed=self._processed)
        if problem is not None or self._closed:
            asked.send(Failed(ModelError(problem or "the model was unloaded")))
            return asked

        def start() -> None:
            if self._closed:
                asked.send(Failed(ModelError("the model was unloaded")))
            elif not asked.finished:
                self._asked.add(asked)
                asked.task = self._loop.create_task(self._answer(asked))

        if not self._in_loop(start):
            asked.send(Failed(ModelError("the model was unloaded")))
        return asked

    @override
    def cancel(self, handle: _Asked) -> None:
        handle.finished = True

        def stop() -> None:
            if handle.task is not None:
                handle.task.cancel()

        self._in_loop(stop)

    @override
    def stats(self) -> EngineStats:
        return EngineStats(self._running, len(self._asked) - self._running, self._max_running, self._steps)

    def _in_loop(self, function: Callable[[], None]) -> bool:
        """Call a function in the engine's thread; False if that has ended."""
        try:
            self._loop.call_soon_threadsafe(function)
        except RuntimeError:  # the loop is closed
            return False
        return True

    def close(self) -> None:
        """End the thread. Requests in progress fail."""
        if self._closed:
            return
        self._closed = True
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        for asked in list(self._asked):
            asked.send(Failed(ModelError("the model was unloaded")))
            if asked.task is not None:
                asked.task.cancel()
        await asyncio.gather(*(one.task for one in self._asked if one.task is not None), return_exceptions=True)
        await self._client.aclose()

    async def _answer(self, asked: _Asked) -> None:
        try:
            async with self._room:
                self._running += 1
                self._max_running = max(self._max_running, self._running)
                try:
                    await self._receive(asked)
                finally:
                    self._running -= 1
        except ModelError as error:
            # Seeing that a process has ended takes a moment, which the event loop must not wait.
            asked.send(Failed(await asyncio.to_thread(self._explain, error)))
        except Exception as error:  # whatever happens, somebody waits for the last event
            asked.send(Failed(error if isinstance(error, FtkitError) else ModelError(f"vLLM failed: {error!r}")))
        finally:
            self._asked.discard(asked)

    async def _receive(self, asked: _Asked) -> None:
        request, started = asked.request, time.monotonic()
        answer, held = Answer(request, self._vocabulary, processed=self._processed), list[TokenEvent]()
        # Those of the tokens that the grammar allows are not those of the model.
        wanted = None if request.grammar is None else request.logprobs
        cached, ended = 0, None
        clock = self._loop.time
        try:
            # A server that sends something else than tokens, or has nothing more to say, is not waited for for ever.
            async with (
                asyncio.timeout(_SILENCE_S) as patience,
                contextlib.aclosing(self._client.stream(_PATH, self._body(request))) as events,
            ):
                async for event in events:
                    cached = max(cached, cached_tokens(event))
                    for choice in choices(event):
                        tokens = answer.read(choice)
                        self._steps += len(tokens)
                        wrote = bool(tokens)
                        if wanted == "none":
                            tokens = _unscored(tokens)
                        elif wanted == "all" and tokens:
                            patience.reschedule(None)
                            tokens = await self._scored(request, answer.ids[: len(answer.ids) - len(tokens)], tokens)
                        elif wanted == "cheap":
                            held += tokens
                            tokens = []
                        for token in tokens:
                            asked.send(token)
                        if wrote:
                            patience.reschedule(clock() + _SILENCE_S)
                        if ended is None and (choice.get("finish_reason") or answer.complete):
                            ended = choice.get("finish_reason") or "length"
                            patience.reschedule(clock() + _AFTER_END_S)
                    if answer.stopped_by_text:  # closing the connection ends the answer there
                        break
        except TimeoutError:
            if ended is None:
                message = f"{self._client.name} has sent no token of an answer for {_SILENCE_S:.0f} s"
                raise EngineError(message, _SILENT) from None
        reason = answer.finish_reason(ended)
        for token in await self._scored(request, [], held) if len(held) <= _CHEAP_TOKENS else _unscored(held):
            asked.send(token)
        asked.send(Finished(reason, len(answer.ids), cached, time.monotonic() - started))

    async def _scored(
        self, request: GenerationRequest, before: list[int], tokens: list[TokenEvent]
    ) -> list[TokenEvent]:
        """Tokens of an answer that is held to a grammar, with their log-probabilities without it.

        vLLM forbids tokens before it computes log-probabilities, so those that it gives are under the grammar. So each
        token is asked for again, as the only one that is allowed: vLLM applies that after it has computed them.
        (Scores of prompts cannot be used: with adapters, vLLM 0.32 fails on batches in which some prompts are scored.)

        Args:
            request: what was asked.
            before: the answer's token ids before them.
            tokens: the tokens.

        Returns:
            The same tokens.
        """
        ids = before + [token.token_id for token in tokens]
        scored = await asyncio.gather(*(self._scored_token(request, ids, at) for at in range(len(before), len(ids))))
        return [
            replace(token, logprob=one.logprob, sampling_logprob=one.logprob, top_logprobs=one.top_logprobs)
            for token, one in zip(tokens, scored, strict=True)
        ]

    async def _scored_token(self, request: GenerationRequest, ids: list[int], at: int) -> TokenEvent:
        known = replace(
            request,
            prompt=np.concatenate([request.prompt, np.asarray(ids[:at], dtype=request.prompt.dtype)]),
            max_tokens=1,
            sampling=SamplingParams(),
            grammar=None,
            decode=None,
        )
        answer, found = Answer(known, self._vocabulary), list[TokenEvent]()
        body = {**self._body(known), "allowed_token_ids": [ids[at]]}
        try:
            async with (
                asyncio.timeout(_SILENCE_S),
                contextlib.aclosing(self._client.stream(_PATH, body)) as events,
            ):
                async for event in events:
                    for choice in choices(event):
                        found += answer.read(choice)
                    if answer.complete:
                        break
        except TimeoutError:
            message = f"{self._client.name} has sent no token of an answer for {_SILENCE_S:.0f} s"
            raise EngineError(message, _SILENT) from None
        if [token.token_id for token in found] != [ids[at]]:
            raise ModelError("vLLM has written another token than the only one that was allowed")
        return found[0]

    def _body(self, request: GenerationRequest) -> dict[str, Any]:
        sampling = request.sampling
        # Everything is said, so that no default of the server or of the model's generation config applies.
        body: dict[str, Any] = {
            "model": request.adapter or self._base,
            "prompt": request.prompt.tolist(),
            "max_tokens": request.max_tokens,
            "temperature": sampling.temperature,
            # A sum of 0 leaves the most likely token, and vLLM takes none.
            "top_p": sampling.top_p or 1.0,
            "top_k": 0 if sampling.top_p else 1,
            "min_p": 0.0,
            "repetition_penalty": 1.0,
            "frequency_penalty": sampling.frequency_penalty,
            "presence_penalty": sampling.presence_penalty,
            "stop_token_ids": sorted(request.stop_token_ids),
            "logprobs": request.top_logprobs,
            "return_token_ids": True,
            "return_tokens_as_token_ids": True,
            "skip_special_tokens": False,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if sampling.temperature > 0:
            body["seed"] = _seed(sampling.seed, sampling.number)
        if sampling.logit_bias:
            body["logit_bias"] = {str(token): value for token, value in sampling.logit_bias}
        if request.grammar is not None:
            body["structured_outputs"] = {"grammar": request.grammar.text}
        if request.cache_scope is not None:
            body["cache_salt"] = request.cache_scope
        return body


def _unscored(tokens: list[TokenEvent]) -> list[TokenEvent]:
    """The same tokens without log-probabilities."""
    return [replace(token, logprob=math.nan, sampling_logprob=math.nan, top_logprobs=()) for token in tokens]


def _unsupported(request: GenerationRequest, *, processed: bool) -> str | None:
    """What of a request vLLM's API cannot do."""
    if request.stop and request.decode is None:
        return "stop strings need decode"
    if request.sampling_logprobs and processed and request.sampling.temperature and request.sampling.top_p < 1:
        return "vLLM reports log-probabilities among the tokens that top_p leaves, and they were asked for among all"
    if request.sampling_logprobs and not processed and request.sampling.temperature not in (0.0, 1.0):
        return "vLLM reports log-probabilities at temperature 1 alone, and they were asked for at another temperature"
    return None


def _seed(seed: int, number: int) -> int:
    """A seed for one answer, of 63 bits, as vLLM takes it."""
    digest = hashlib.sha256(f"{seed}/{number}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
