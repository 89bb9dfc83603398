"""Inference for a server: admit requests up to a limit, load their models, send events to the event loop."""

from __future__ import annotations

import asyncio
import functools
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, ParamSpec, TypeVar

from ftkit.errors import BusyError, DataError, ModelError
from ftkit.inference.answer_grammar import AnswerSpec
from ftkit.inference.constrained import Grammar
from ftkit.inference.embeddings import embeddings
from ftkit.inference.leases import Lease, LeasePool, LoadedModelStats
from ftkit.inference.limits import DEFAULT_BATCH, ServingLimits
from ftkit.inference.prompt_length import PromptTooLongError, refuse_too_long
from ftkit.inference.protocol import GenerationEvent, GenerationRequest, OnEvent
from ftkit.modeling.text_encoder import plain_ids
from ftkit.modeling.thought_stream import ThoughtSplitter
from ftkit.modeling.token_bytes import token_bytes
from ftkit.modeling.tokenized_example import Ints
from ftkit.modeling.tool_calls import ToolCallFormat, ToolCallParser, detect_tool_call_format, tool_call_parser
from ftkit.schema import Output
from ftkit.task import Message

__all__ = ["InferenceService", "ServedModel"]

P = ParamSpec("P")
T = TypeVar("T")


class ServedModel:
    """A loaded model that a request may use, see :meth:`InferenceService.model`.

    Args:
        lease: keeps the model in memory.
        pool: where it is.
        project: whose requests share computed prefixes.
    """

    def __init__(self, lease: Lease, pool: LeasePool, project: str | None) -> None:
        self._lease, self._pool, self._project = lease, pool, project

    @property
    def max_length(self) -> int | None:
        """Longest conversation with its answer, in tokens; None if the model does not say."""
        return self._lease.engine.max_length

    def tool_call_parser(
        self, prompt: Ints, tools: Sequence[dict[str, Any]], *, parallel: bool
    ) -> ToolCallParser | None:
        """Return what separates tool calls from text, see :func:`ftkit.modeling.tool_calls.tool_call_parser`.

        Args:
            prompt: token ids of the conversation, ``[tokens]``.
            tools: the offered tools.
            parallel: whether an answer may call several tools.

        Returns:
            The reader; None if there are no tools.
        """
        return tool_call_parser(self._lease.chat_template.tokenizer, prompt, tools, parallel=parallel)

    def thought_splitter(self) -> ThoughtSplitter:
        """Make what separates the thought of an answer from the answer; see :class:`ThoughtSplitter`.

        Returns:
            The splitter, for one answer.
        """
        template = self._lease.chat_template
        return ThoughtSplitter(str(template.tokenizer.chat_template), template.prefill)

    async def render(self, messages: Sequence[Message], tools: Sequence[dict[str, Any]] | None) -> Ints:
        """Render a conversation up to where the answer starts.

        Args:
            messages: the conversation.
            tools: the offered tools.

        Returns:
            Token ids, ``[tokens]``.

        Raises:
            PromptTooLongError: it is longer than the model's context. That is found out without rendering all of it.
            ModelError: the chat template cannot render it.
        """
        return await self._in_tokenizer_thread(self._render, messages, tools)

    async def embed(self, text: str) -> tuple[list[float], int]:
        """Embed a text, between two generated tokens; see :func:`ftkit.inference.embeddings.embeddings`.

        Args:
            text: plain text, without chat template.

        Returns:
            The vector of the model's hidden size, and the number of the text's tokens.

        Raises:
            DataError: the text is longer than the model takes. That is found out without reading all of it.
            ModelError: the model has no hidden states, or another program has its weights.
        """
        if self._pool.no_weights is not None:
            raise ModelError(self._pool.no_weights)
        count = await self._in_tokenizer_thread(self._count, text)
        vectors = await asyncio.wrap_future(self._lease.call(lambda pretrained: embeddings(pretrained, [text])))
        return vectors[0], count

    def _count(self, text: str) -> int:
        template = self._lease.chat_template
        try:
            if self.max_length is not None:
                refuse_too_long(template, [{"content": text}], None, self.max_length)
        except PromptTooLongError as error:
            raise DataError(f"the text is longer than the model's context of {error.limit:,} tokens") from None
        return len(plain_ids(template.tokenizer, text))

    async def grammar(self, output: Output) -> Grammar | None:
        """Compile an output schema.

        Args:
            output: the schema.

        Returns:
            The grammar; None for text.

        Raises:
            ConfigError: the schema uses what answers cannot be constrained to.
        """
        return await self._in_tokenizer_thread(self._lease.grammar, output)

    async def answer_grammar(self, spec: AnswerSpec) -> Grammar:
        """Compile the grammar of answers to a request with tools or a schema.

        Args:
            spec: what the answers may be.

        Returns:
            The grammar.

        Raises:
            ConfigError: a schema uses what calls or answers cannot be constrained to.
        """
        return await self._in_tokenizer_thread(self._lease.answer_grammar, spec)

    @property
    def tool_call_format(self) -> ToolCallFormat | None:
        """How the model writes tool calls, as its chat template shows; None if the format is not known."""
        return detect_tool_call_format(str(self._lease.chat_template.tokenizer.chat_template))

    @property
    def vocabulary(self) -> int:
        """Number of token ids of the tokenizer."""
        return len(self._lease.chat_template.tokenizer)

    def decode_token(self, token: int) -> tuple[str, bytes | None]:
        """Return a token as text and as bytes.

        Args:
            token: its id.

        Returns:
            Its text by itself, in which a part of a character becomes the replacement character; and its bytes, None if
            the tokenizer does not say them.
        """
        tokenizer = self._lease.chat_template.tokenizer
        text = str(tokenizer.decode([token]))
        return text, token_bytes(tokenizer, token) if "\N{REPLACEMENT CHARACTER}" in text else text.encode()

    def add(self, request: GenerationRequest, on_event: OnEvent) -> Any:
        """Queue a request. Adapter, stop tokens and decoder are those of the model.

        Args:
            request: the prompt and how to continue it.
            on_event: called in the running event loop.

        Returns:
            A handle for :meth:`cancel`.
        """
        loop, chat_template = asyncio.get_running_loop(), self._lease.chat_template

        def forward(event: GenerationEvent) -> None:
            loop.call_soon_threadsafe(on_event, event)

        request = replace(
            request,
            adapter=self._lease.adapter,
            cache_scope=self._project,
            stop_token_ids=frozenset(chat_template.stop_ids),
            decode=chat_template.decode,
        )
        return self._lease.engine.add(request, forward)

    def cancel(self, handle: Any) -> None:
        """Stop generating an answer that nobody waits for.

        Args:
            handle: what :meth:`add` returned.
        """
        self._lease.engine.cancel(handle)

    def _render(self, messages: Sequence[Message], tools: Sequence[dict[str, Any]] | None) -> Ints:
        if self.max_length is not None:
            refuse_too_long(self._lease.chat_template, messages, tools, self.max_length)
        return self._lease.chat_template.encode_prompt(messages, tools)

    async def _in_tokenizer_thread(self, function: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        work = functools.partial(function, *arguments, **options)
        return await loop.run_in_executor(self._pool.tokenizer_thread, work)


class InferenceService:
    """The models of a server. Use it from one event loop, and close it there.

    Args:
        pool: the loaded models, which :meth:`close` closes.
        limits: of batches and waiting requests.
    """

    def __init__(self, pool: LeasePool, limits: ServingLimits) -> None:
        self._pool, self._limits = pool, limits
        self._in_progress = 0
        self._finish_times: deque[float] = deque(maxlen=64)

    @property
    def in_progress(self) -> int:
        """Answers that were admitted and are not finished, those whose model is still loading included."""
        return self._in_progress

    @property
    def no_weights(self) -> str | None:
        """Why the engine cannot embed texts, in one sentence; None if it can."""
        return self._pool.no_weights

    def stats(self) -> list[LoadedModelStats]:
        """Report how busy each loaded base model is.

        Returns:
            One entry per base model.
        """
        return self._pool.stats()

    @asynccontextmanager
    async def model(self, name: str, answers: int = 1, *, project: str | None = None) -> AsyncIterator[ServedModel]:
        """Admit a request, and hold its model in memory until the end.

        Args:
            name: as :func:`ftkit.modeling.model_source.find_source` takes it.
            answers: how many answers the request wants.
            project: who asks; the prefix cache is shared within a project only.

        Yields:
            The loaded model.

        Raises:
            BusyError: the limit of answers in progress is reached.
            ModelError: the model cannot be loaded.
        """
        if self._in_progress + answers > self._limits.queue:
            raise BusyError(
                f"{self._in_progress} answers are running or waiting, and the limit is {self._limits.queue}",
                self._retry_after_s(),
            )
        self._in_progress += answers
        try:
            with await self._pool.lease_async(name) as lease:
                yield ServedModel(lease, self._pool, project)
        finally:
            self._in_progress -= answers
            self._finish_times.append(time.monotonic())

    async def close(self) -> None:
        """Unload all models. Answers in progress fail."""
        await asyncio.to_thread(self._pool.close)

    def _retry_after_s(self) -> float:
        """Estimate when a batch of answers will be finished, from the latest ones: 1 to 60 seconds."""
        if len(self._finish_times) < 2:
            return 5.0
        each = (time.monotonic() - self._finish_times[0]) / len(self._finish_times)
        return min(60.0, max(1.0, math.ceil(each * (self._limits.batch or DEFAULT_BATCH))))
