"""A chat completion in progress: its prompt, its answers, and what ends it."""

from __future__ import annotations

import asyncio
import functools
import logging
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import numpy as np
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from ftkit.errors import ModelError
from ftkit.inference.engine_error import EngineError
from ftkit.inference.prompt_length import PromptTooLongError
from ftkit.inference.protocol import Failed, GenerationEvent, GenerationRequest, SchemaTooComplexError, TokenEvent
from ftkit.inference.sampling import SamplingParams
from ftkit.inference.service import ServedModel
from ftkit.modeling.tokenized_example import Ints
from ftkit.modeling.tool_calls import (
    CheckedToolCallParser,
    FormatToolCallParser,
    RequiredToolCallParser,
    ToolCallFormat,
    ToolCallParser,
)
from ftkit.modeling.tool_prompt import describe_tools
from ftkit.schema.held_schema import Unheld
from ftkit.server.chat.admission import admit
from ftkit.server.chat.answer_grammar import AnswerSchemas
from ftkit.server.chat.choice import Choice, Delta
from ftkit.server.chat.metrics import Metrics
from ftkit.server.chat.reply import ReplyBuilder
from ftkit.server.chat.request import ChatRequest
from ftkit.server.chat.tool_choice import ToolUse, tool_use
from ftkit.server.client_schema import ClientSchemas
from ftkit.server.errors import ApiError
from ftkit.task import Message

__all__ = [
    "DEFAULT_MAX_TOKENS",
    "Completion",
    "LogprobCount",
    "count_prompt",
    "start_completion",
    "too_long",
    "unheld_header",
]

_log = logging.getLogger("ftkit.server")

_MAX_LOGPROBS = 250_000
"""Most log-probabilities in a response that is not a stream, which holds them in memory until its end."""
DEFAULT_MAX_TOKENS = 4_096
"""Maximum length of an answer if neither the request nor the model sets a limit."""


class LogprobCount:
    """The log-probabilities of a response that is not a stream, which are in memory until its end."""

    def __init__(self) -> None:
        self._count = 0

    def add(self, delta: Delta) -> None:
        """Count those of a new part of an answer.

        Args:
            delta: the new part.

        Raises:
            ApiError: 400 if they are too many.
        """
        self._count += sum(1 + len(token["top_logprobs"]) for token in delta.logprobs)
        if self._count > _MAX_LOGPROBS:
            raise ApiError(
                400,
                f"The answers have more than {_MAX_LOGPROBS:,} log-probabilities. Request a stream, fewer tokens, "
                "fewer answers or fewer 'top_logprobs'.",
                param="top_logprobs",
                code="too_many_logprobs",
            )


class Completion:
    """A request in progress, with its answers, and the keywords of its schemas that they are not held to."""

    def __init__(
        self,
        model: ServedModel,
        request: ChatRequest,
        metrics: Metrics,
        schemas: ClientSchemas,
        started: float,
        *,
        split_thoughts: bool,
        logprobs: LogprobCount | None = None,
    ) -> None:
        self._split_thoughts = split_thoughts
        self._model, self._request, self._metrics, self._started = model, request, metrics, started
        self._schemas = schemas
        self._events: asyncio.Queue[tuple[int, GenerationEvent]] = asyncio.Queue()
        self._handles: list[Any] = []
        self._logprobs = logprobs or LogprobCount()
        self.unheld: tuple[Unheld, ...] = ()
        self.choices: list[Choice] = []

    async def start(self) -> ReplyBuilder:
        """Render the prompt and send it to the engine.

        Returns:
            The builder of the response.

        Raises:
            ApiError: 400 if the messages, the tools or the schema cannot be used.
        """
        request = self._request
        use = tool_use(request.tools, request.tool_choice)
        schemas = AnswerSchemas(use, parallel=request.parallel_tool_calls is not False)
        await schemas.check(request.response_format, request.tools or (), self._schemas)
        tools = [tool.to_template() for tool in use.offered]
        prompt, described = await self._render(tools)
        max_tokens = self._max_tokens(len(prompt))
        form = "tagged" if described else self._model.tool_call_format
        grammar = await schemas.grammar(self._model, self._schemas, form)
        sampling = self._sampling()
        thinks = self._split_thoughts and not use.required and schemas.answer is None
        for number in range(request.choice_count):
            self.choices.append(
                Choice(
                    number,
                    self._model.decode_token,
                    logprobs=bool(request.logprobs),
                    reader=self._reader(prompt, use, schemas, form, described=described),
                    thoughts=self._model.thought_splitter() if thinks else None,
                    named=use.named,
                    keep=not request.stream,
                )
            )
            generation = GenerationRequest(
                prompt,
                max_tokens,
                replace(sampling, number=number),
                stop=request.stops,
                grammar=grammar,
                logprobs="all" if request.logprobs else "none",
                top_logprobs=request.top_logprobs or 0,
            )
            self._handles.append(self._model.add(generation, functools.partial(self._receive, number)))
            await asyncio.sleep(0)  # other requests come between many answers
        if grammar is not None:
            self.unheld = grammar.unheld
        self._metrics.tokens.labels("prompt").inc(len(prompt))
        options = request.stream_options
        return ReplyBuilder(
            request.model,
            len(prompt),
            usage_at_end=bool(options and options.include_usage),
            obfuscated=bool(options and options.include_obfuscation),
        )

    async def count(self) -> int:
        """Count the tokens of the prompt, without an answer.

        Returns:
            The number.

        Raises:
            ApiError: 400 as of :meth:`start`.
        """
        use = tool_use(self._request.tools, self._request.tool_choice)
        schemas = AnswerSchemas(use, parallel=self._request.parallel_tool_calls is not False)
        await schemas.check(self._request.response_format, self._request.tools or (), self._schemas)
        prompt, _ = await self._render([tool.to_template() for tool in use.offered])
        return len(prompt)

    async def deltas(self) -> AsyncIterator[tuple[Choice, Delta]]:
        """Yield what is new until all answers are complete.

        Yields:
            A choice and its new text, log-probabilities and tool calls.

        Raises:
            ApiError: 503 if an answer failed, 400 if it failed for its schema.
        """
        remaining, first = len(self.choices), True
        while remaining:
            number, event = await self._events.get()
            await asyncio.sleep(0)  # many answers may have events; other requests come between them
            if isinstance(event, Failed):
                raise _failure(event.error)
            if first:
                self._metrics.first_token.observe(time.monotonic() - self._started)
                first = False
            choice = self.choices[number]
            if choice.finds_calls and not isinstance(event, TokenEvent):
                # The calls of the whole answer are read, for which a model may have a program of its own.
                delta = await run_in_threadpool(choice.add, event)
            else:
                delta = choice.add(event)
            if not isinstance(event, TokenEvent):
                remaining -= 1
                self._metrics.tokens.labels("cached").inc(choice.cached)
                self._metrics.tokens.labels("completion").inc(choice.tokens)
            if delta.logprobs and not self._request.stream:
                self._logprobs.add(delta)
            yield choice, delta
        self._metrics.seconds.observe(time.monotonic() - self._started)

    def cancel(self) -> None:
        """Cancel the answers that are not complete."""
        for choice, handle in zip(self.choices, self._handles, strict=False):
            if choice.finish_reason is None:
                self._model.cancel(handle)

    def _receive(self, number: int, event: GenerationEvent) -> None:
        self._events.put_nowait((number, event))

    async def _render(self, tools: list[dict[str, Any]]) -> tuple[Ints, bool]:
        """Render the prompt; also whether the tools had to be described, because the template has no place for them."""
        messages = [message.to_template() for message in self._request.messages]
        prompt = await self._rendered(messages, tools or None)
        called = any(message.get("tool_calls") or message["role"] == "tool" for message in messages)
        if isinstance(prompt, ModelError) and not tools and not called:
            raise ApiError(400, str(prompt), param="messages")
        if not isinstance(prompt, ModelError):
            without = await self._rendered(messages, None) if tools else prompt
            if not tools or isinstance(without, ModelError) or not np.array_equal(without, prompt):
                return prompt, False
        described = await self._rendered(describe_tools(messages, tools), None)
        if isinstance(described, ModelError):
            raise ApiError(400, str(prompt if isinstance(prompt, ModelError) else described), param="messages")
        return described, True

    async def _rendered(self, messages: list[Message], tools: list[dict[str, Any]] | None) -> Ints | ModelError:
        try:
            return await self._model.render(messages, tools)
        except PromptTooLongError as error:
            raise too_long(error.limit, f"more than {error.limit:,}", None) from None
        except ModelError as error:
            return error

    def _reader(
        self, prompt: Ints, use: ToolUse, schemas: AnswerSchemas, form: ToolCallFormat | None, *, described: bool
    ) -> ToolCallParser | None:
        """What finds the calls in an answer."""
        if not use.callable:
            return None
        if use.required:
            return RequiredToolCallParser(prompt)
        parallel = self._request.parallel_tool_calls is not False
        if described or (form is None and schemas.answer is not None):
            return FormatToolCallParser("tagged", prompt, parallel=parallel)
        tools = [tool.to_template() for tool in use.offered]
        try:
            reader = self._model.tool_call_parser(prompt, tools, parallel=parallel)
        except ModelError as error:
            raise ApiError(400, str(error), param="tools") from None
        if reader is None or form is not None or not schemas.needs_grammar:
            return reader
        return CheckedToolCallParser(reader, schemas.accepts)

    def _sampling(self) -> SamplingParams:
        request = self._request
        temperature, top_p = (1.0 if value is None else float(value) for value in (request.temperature, request.top_p))
        biases = tuple((int(token), float(bias)) for token, bias in (request.logit_bias or {}).items())
        largest = max((token for token, _ in biases), default=-1)
        if biases and largest >= self._model.vocabulary:
            message = f"Invalid value for 'logit_bias': the model's tokenizer has no token {largest}."
            raise ApiError(400, message, param="logit_bias", code="invalid_value")
        return SamplingParams(
            temperature,
            top_p,
            secrets.randbits(31) if request.seed is None else request.seed,
            frequency_penalty=float(request.frequency_penalty or 0),
            presence_penalty=float(request.presence_penalty or 0),
            logit_bias=biases,
        )

    def _max_tokens(self, prompt: int) -> int:
        request, limit = self._request, self._model.max_length
        requested = request.max_completion_tokens or request.max_tokens
        if limit is None:
            return requested or DEFAULT_MAX_TOKENS
        if prompt + (requested or 1) > limit:
            raise too_long(limit, f"{prompt:,}", requested)
        return requested or limit - prompt


def _failure(error: Exception) -> ApiError:
    if isinstance(error, SchemaTooComplexError):  # clients try again after a 503, and it would fail again
        return ApiError(400, f"The request is too complex: {error}.", param="response_format", code="too_complex")
    if isinstance(error, EngineError):
        _log.error("the model could not answer: %s", error)
        message = f"The model could not answer: {error.outward}."
        return ApiError(400, message) if error.refused else ApiError(503, message, "server_error")
    return ApiError(503, f"The model could not answer: {error}", "server_error")


def too_long(limit: int, prompt: str, requested: int | None) -> ApiError:
    """Return the error for a prompt that leaves no room for its answer.

    Args:
        limit: the model's context length in tokens.
        prompt: the number of tokens of the prompt, as a text.
        requested: the requested length of the answer, if there is one.

    Returns:
        An error with status 400.
    """
    answer = f", and up to {requested:,} for the answer" if requested else ""
    return ApiError(
        400,
        f"This model's maximum context length is {limit:,} tokens. The prompt takes {prompt}{answer}. "
        "Shorten the messages, or request fewer tokens.",
        param="messages",
        code="context_length_exceeded",
    )


def unheld_header(unheld: Sequence[Unheld]) -> dict[str, str]:
    """Tell the client which keywords of its schemas the answer is not held to.

    Args:
        unheld: the keywords.

    Returns:
        HTTP headers.
    """
    if not unheld:
        return {}
    return {"x-ftkit-not-held": ", ".join(map(str, unheld)).encode("ascii", "backslashreplace").decode()[:1000]}


async def start_completion(
    request: Request,
    stack: AsyncExitStack,
    model: str,
    body: ChatRequest,
    metrics: Metrics,
    started: float,
) -> tuple[Completion, ReplyBuilder]:
    """Admit a request, load its model and send the prompt to the engine.

    Args:
        request: the HTTP request.
        stack: holds the model in memory, and cancels what is not finished.
        model: the model, as :class:`ftkit.server.model_names.ModelNames` resolved its name.
        body: the request for a completion.
        metrics: where it is counted.
        started: when the request came, by ``time.monotonic``.

    Returns:
        The request in progress, and the builder of a chat completion.

    Raises:
        ApiError: 429 if the queue is full, 503 if the model cannot be used, 400 as of :meth:`Completion.start`.
    """
    served = await admit(request, stack, model, body.model, body.choice_count)
    completion = Completion(served, body, metrics, request.app.state.schemas, started, split_thoughts=True)
    stack.callback(completion.cancel)
    return completion, await completion.start()


async def count_prompt(
    request: Request, stack: AsyncExitStack, model: str, body: ChatRequest, metrics: Metrics, started: float
) -> int:
    """Admit a request, load its model and count the tokens of its prompt.

    Args:
        request: the HTTP request.
        stack: holds the model in memory.
        model: the model, as :class:`ftkit.server.model_names.ModelNames` resolved its name.
        body: the request for a completion.
        metrics: where it is counted.
        started: when the request came, by ``time.monotonic``.

    Returns:
        The number of tokens.

    Raises:
        ApiError: as of :func:`start_completion`.
    """
    served = await admit(request, stack, model, body.model, 1)
    return await Completion(served, body, metrics, request.app.state.schemas, started, split_thoughts=True).count()
