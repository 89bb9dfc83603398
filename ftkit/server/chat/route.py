"""Routes of ``/v1/chat/completions`` and ``/metrics``."""

from __future__ import annotations

import asyncio
import functools
import secrets
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send
from typing_extensions import override

from ftkit.errors import BusyError, ModelError
from ftkit.inference.active_request import ActiveRequest
from ftkit.inference.prompt_length import PromptTooLongError
from ftkit.inference.protocol import Failed, GenerationEvent, GenerationRequest, SchemaTooComplexError, TokenEvent
from ftkit.inference.sampling import SamplingParams
from ftkit.inference.service import InferenceService, ServedModel
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
from ftkit.server.chat.answer_grammar import AnswerSchemas
from ftkit.server.chat.choice import Choice, Delta
from ftkit.server.chat.metrics import Metrics
from ftkit.server.chat.reply import DONE, ReplyBuilder, dumps_in_pieces, event
from ftkit.server.chat.request import ChatRequest
from ftkit.server.chat.tool_choice import ToolUse, tool_use
from ftkit.server.client_schema import ClientSchemas
from ftkit.server.errors import ApiError, busy
from ftkit.server.model_names import ModelNames
from ftkit.server.request_body import parse_json_body
from ftkit.task import Message

__all__ = [
    "DEFAULT_MAX_TOKENS",
    "Completion",
    "EventStream",
    "routes",
    "start_completion",
    "too_long",
    "unheld_header",
    "unless_disconnected",
]

T = TypeVar("T")

_MAX_LOGPROBS = 250_000
"""Most log-probabilities in a response that is not a stream, which holds them in memory until its end."""
DEFAULT_MAX_TOKENS = 4_096
"""Maximum length of an answer if neither the request nor the model sets a limit."""


class Completion:
    """A request in progress, with its answers, and the keywords of its schemas that they are not held to."""

    def __init__(
        self, model: ServedModel, request: ChatRequest, metrics: Metrics, schemas: ClientSchemas, started: float
    ) -> None:
        self._model, self._request, self._metrics, self._started = model, request, metrics, started
        self._schemas = schemas
        self._events: asyncio.Queue[tuple[int, GenerationEvent]] = asyncio.Queue()
        self._handles: list[ActiveRequest] = []
        self._logprobs = 0
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
        await schemas.check(request.response_format, self._schemas)
        tools = [tool.to_template() for tool in use.offered]
        prompt, described = await self._render(tools)
        max_tokens = self._max_tokens(len(prompt))
        form = "tagged" if described else self._model.tool_call_format
        grammar = await schemas.grammar(self._model, self._schemas, form)
        sampling = self._sampling()
        for number in range(request.choice_count):
            self.choices.append(
                Choice(
                    number,
                    self._model.decode_token,
                    logprobs=bool(request.logprobs),
                    reader=self._reader(prompt, use, schemas, form, described=described),
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
            delta = choice.add(event)
            if not isinstance(event, TokenEvent):
                remaining -= 1
                self._metrics.tokens.labels("cached").inc(choice.cached)
                self._metrics.tokens.labels("completion").inc(choice.tokens)
            if delta.logprobs and not self._request.stream:
                self._count_logprobs(delta)
            yield choice, delta
        self._metrics.seconds.observe(time.monotonic() - self._started)

    def _count_logprobs(self, delta: Delta) -> None:
        self._logprobs += sum(1 + len(token["top_logprobs"]) for token in delta.logprobs)
        if self._logprobs > _MAX_LOGPROBS:
            raise ApiError(
                400,
                f"The answers have more than {_MAX_LOGPROBS:,} log-probabilities. Request a stream, fewer tokens, "
                "fewer answers or fewer 'top_logprobs'.",
                param="top_logprobs",
                code="too_many_logprobs",
            )

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
        reader = self._model.tool_call_parser(prompt, tools, parallel=parallel)
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
        f"This model's maximum context length is {limit:,} tokens. Your messages take {prompt}{answer}. "
        "Shorten the messages, or request fewer tokens.",
        param="messages",
        code="context_length_exceeded",
    )


class EventStream(StreamingResponse):
    """Server-sent events; closes ``stack`` when the answers are complete or the client disconnects."""

    def __init__(self, content: AsyncIterator[bytes], stack: AsyncExitStack, headers: dict[str, str]) -> None:
        headers = {"cache-control": "no-store", **headers}
        super().__init__(content, media_type="text/event-stream", headers=headers)
        self._stack = stack

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._stack:
            await super().__call__(scope, receive, send)


async def _chat(request: Request) -> Response:
    metrics: Metrics = request.app.state.metrics
    try:
        response = await _respond(request, metrics)
    except ApiError as error:
        metrics.requests.labels(str(error.status)).inc()
        raise
    metrics.requests.labels(str(response.status_code)).inc()
    return response


async def _respond(request: Request, metrics: Metrics) -> Response:
    started = time.monotonic()
    body = await parse_json_body(request, ChatRequest)
    body.check_supported()
    names: ModelNames = request.app.state.names
    served = await run_in_threadpool(names.resolve, body.model, request.state.project)
    async with AsyncExitStack() as stack:
        completion, reply = await unless_disconnected(
            request, start_completion(request, stack, served.source, body, metrics, started)
        )
        headers = unheld_header(completion.unheld)
        if body.stream:
            return EventStream(_chunks(completion, reply), stack.pop_all(), headers)
        complete = await unless_disconnected(request, _complete(completion, reply))
        return Response(await dumps_in_pieces(complete), media_type="application/json", headers=headers)


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
    request: Request, stack: AsyncExitStack, model: str, body: ChatRequest, metrics: Metrics, started: float
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
    service: InferenceService = request.app.state.serving
    try:
        served = await stack.enter_async_context(service.model(model, body.choice_count, project=request.state.project))
    except BusyError as error:
        raise busy(error) from None
    except ModelError as error:
        raise ApiError(503, f"The model {body.model!r} cannot be used: {error}", "server_error") from None
    completion = Completion(served, body, metrics, request.app.state.schemas, started)
    stack.callback(completion.cancel)
    return completion, await completion.start()


async def _complete(completion: Completion, reply: ReplyBuilder) -> dict[str, Any]:
    async for _ in completion.deltas():
        pass
    return reply.completion(completion.choices)


async def _chunks(completion: Completion, reply: ReplyBuilder) -> AsyncIterator[bytes]:
    for chunk in reply.role_chunks(completion.choices):
        yield chunk
    try:
        async for choice, delta in completion.deltas():
            for chunk in reply.delta_chunks(choice, delta):
                yield chunk
            if choice.finish_reason is not None:
                yield reply.finish_chunk(choice)
    except ApiError as error:
        yield event({"error": {"message": error.message, "type": error.type, "param": None, "code": error.code}})
        yield DONE
        return
    for chunk in reply.final_events(completion.choices):
        yield chunk


async def unless_disconnected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Await work, but cancel it if the client disconnects.

    Args:
        request: the HTTP request.
        work: the work.

    Returns:
        Its result.

    Raises:
        ApiError: 499 if the client disconnected.
    """
    task = asyncio.ensure_future(work)
    watcher = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({task, watcher}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ApiError(499, "The client disconnected.")
        return task.result()
    finally:
        watcher.cancel()
        if not task.done():
            task.cancel()
            await asyncio.wait({task})


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _metrics(request: Request) -> Response:
    metrics: Metrics = request.app.state.metrics
    return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)


routes = [
    Route("/v1/chat/completions", _chat, methods=["POST"]),
    Route("/metrics", _metrics),
]
