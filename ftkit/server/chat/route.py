"""``/v1/chat/completions`` and ``/metrics``."""

from __future__ import annotations

import asyncio
import functools
import secrets
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack
from typing import Any, TypeVar

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from ftkit.errors import BusyError, ConfigError, ModelError
from ftkit.inference.active_request import ActiveRequest
from ftkit.inference.constrained import Grammar
from ftkit.inference.protocol import Failed, GenerationEvent, GenerationRequest, TokenEvent
from ftkit.inference.sampling import SamplingParams
from ftkit.inference.service import InferenceService, ServedModel
from ftkit.modeling.tokenized_example import Ints
from ftkit.schema import JsonOutput
from ftkit.server.chat.choice import Choice, Delta
from ftkit.server.chat.metrics import Metrics
from ftkit.server.chat.reply import DONE, Reply, event
from ftkit.server.chat.request import ChatRequest
from ftkit.server.errors import ApiError, busy
from ftkit.server.model_names import ModelNames
from ftkit.server.request_body import parse_json_body

__all__ = ["routes"]

T = TypeVar("T")

_LONGEST = 4_096
"""Tokens of an answer where neither the request nor the model sets a limit."""


class _Conversation:
    """One request on its way: its answers, and what has come of them."""

    def __init__(self, model: ServedModel, request: ChatRequest, metrics: Metrics, began: float) -> None:
        self._model, self._request, self._metrics, self._began = model, request, metrics, began
        self._events: asyncio.Queue[tuple[int, GenerationEvent]] = asyncio.Queue()
        self._handles: list[ActiveRequest] = []
        self.choices: list[Choice] = []

    async def begin(self) -> Reply:
        """Write the prompt and have it answered."""
        request = self._request
        tools = [] if request.tool_choice == "none" else [one.plain() for one in request.tools or ()]
        try:
            prompt = await self._model.render([one.plain() for one in request.messages], tools or None)
            if tools and await self._ignored(prompt):
                raise ApiError(400, "The model's chat template leaves out the tools.", param="tools")
        except ModelError as error:
            raise ApiError(400, str(error), param="messages") from None
        max_tokens = self._max_tokens(len(prompt))
        grammar = await self._grammar()
        seed = secrets.randbits(31) if request.seed is None else request.seed
        temperature, top_p = (1.0 if one is None else float(one) for one in (request.temperature, request.top_p))
        for number in range(request.answers):
            reader = self._model.tool_call_parser(prompt, tools, parallel=request.parallel_tool_calls is not False)
            self.choices.append(
                Choice(number, self._model.decode_token, logprobs=bool(request.logprobs), reader=reader)
            )
            generation = GenerationRequest(
                prompt,
                max_tokens,
                SamplingParams(temperature, top_p, seed, number),
                stop=request.stops,
                grammar=grammar,
                top_logprobs=request.top_logprobs or 0,
            )
            self._handles.append(self._model.add(generation, functools.partial(self._receive, number)))
        self._metrics.tokens.labels("prompt").inc(len(prompt))
        options = request.stream_options
        return Reply(request.model, len(prompt), usage_at_end=bool(options and options.include_usage))

    async def news(self) -> AsyncIterator[tuple[Choice, Delta]]:
        """What comes, until all answers are whole.

        Raises:
            ApiError: one will never be.
        """
        left, first = len(self.choices), True
        while left:
            number, event = await self._events.get()
            if isinstance(event, Failed):
                raise ApiError(503, f"The model could not answer: {event.error}", "server_error")
            if first:
                self._metrics.first_token.observe(time.monotonic() - self._began)
                first = False
            choice = self.choices[number]
            delta = choice.add(event)
            if not isinstance(event, TokenEvent):
                left -= 1
                self._metrics.tokens.labels("cached").inc(choice.cached)
                self._metrics.tokens.labels("completion").inc(choice.tokens)
            yield choice, delta
        self._metrics.seconds.observe(time.monotonic() - self._began)

    def leave(self) -> None:
        """Nobody waits any more: what is not whole is dropped."""
        for choice, handle in zip(self.choices, self._handles, strict=False):
            if choice.finish_reason is None:
                self._model.cancel(handle)

    def _receive(self, number: int, event: GenerationEvent) -> None:
        self._events.put_nowait((number, event))

    async def _ignored(self, prompt: Ints) -> bool:
        """Whether the chat template wrote nothing of the tools."""
        without = await self._model.render([one.plain() for one in self._request.messages], None)
        return len(without) == len(prompt) and bool((without == prompt).all())

    def _max_tokens(self, prompt: int) -> int:
        request, most = self._request, self._model.max_length
        wanted = request.max_completion_tokens or request.max_tokens
        if most is None:
            return wanted or _LONGEST
        if prompt + (wanted or 1) > most:
            beyond = f", and up to {wanted:,} for the answer" if wanted else ""
            raise ApiError(
                400,
                f"This model's maximum context length is {most:,} tokens. Your messages take {prompt:,}{beyond}. "
                "Shorten the messages, or ask for fewer tokens.",
                param="messages",
                code="context_length_exceeded",
            )
        return wanted or most - prompt

    async def _grammar(self) -> Grammar | None:
        held = self._request.response_format
        if held is None or held.type == "text":
            return None
        schema = {"type": "object"} if held.json_schema is None else held.json_schema.json_schema
        name = "answer" if held.json_schema is None else held.json_schema.name
        try:
            return await self._model.grammar(JsonOutput(name=name, json_schema=schema))
        except ConfigError as error:
            raise ApiError(400, f"Invalid schema for response_format: {error}", param="response_format") from None


class _Stream(StreamingResponse):
    """Events until the answers are whole or the client is gone; then everything is let go."""

    def __init__(self, content: AsyncIterator[bytes], stack: AsyncExitStack) -> None:
        super().__init__(content, media_type="text/event-stream", headers={"cache-control": "no-store"})
        self._stack = stack

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._stack:
            await super().__call__(scope, receive, send)


async def _chat(request: Request) -> Response:
    metrics: Metrics = request.app.state.metrics
    try:
        response = await _answered(request, metrics)
    except ApiError as error:
        metrics.requests.labels(str(error.status)).inc()
        raise
    metrics.requests.labels(str(response.status_code)).inc()
    return response


async def _answered(request: Request, metrics: Metrics) -> Response:
    began = time.monotonic()
    said = await parse_json_body(request, ChatRequest)
    said.refuse_what_nothing_does()
    names: ModelNames = request.app.state.names
    served = await run_in_threadpool(names.resolve, said.model, request.state.project)
    async with AsyncExitStack() as stack:
        conversation, reply = await _unless_gone(request, _begun(request, stack, served.source, said, metrics, began))
        if said.stream:
            return _Stream(_chunks(conversation, reply), stack.pop_all())
        whole = await _unless_gone(request, _whole(conversation, reply))
        return JSONResponse(whole)


async def _begun(
    request: Request, stack: AsyncExitStack, model: str, said: ChatRequest, metrics: Metrics, began: float
) -> tuple[_Conversation, Reply]:
    service: InferenceService = request.app.state.serving
    try:
        served = await stack.enter_async_context(service.model(model, said.answers))
    except BusyError as error:
        raise busy(error) from None
    except ModelError as error:
        raise ApiError(503, f"The model {said.model!r} cannot be used: {error}", "server_error") from None
    conversation = _Conversation(served, said, metrics, began)
    stack.callback(conversation.leave)
    return conversation, await conversation.begin()


async def _whole(conversation: _Conversation, reply: Reply) -> dict[str, Any]:
    async for _ in conversation.news():
        pass
    return reply.whole(conversation.choices)


async def _chunks(conversation: _Conversation, reply: Reply) -> AsyncIterator[bytes]:
    for chunk in reply.first(conversation.choices):
        yield chunk
    try:
        async for choice, delta in conversation.news():
            if delta:
                yield reply.next(choice, delta)
            if choice.finish_reason is not None:
                yield reply.last(choice)
    except ApiError as error:
        yield event({"error": {"message": error.message, "type": error.type, "param": None, "code": error.code}})
        yield DONE
        return
    for chunk in reply.end(conversation.choices):
        yield chunk


async def _unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Do ``work`` while the client waits for it; when it hangs up, the work is cancelled.

    Raises:
        ApiError: the client is gone, so nobody reads this.
    """
    doing = asyncio.ensure_future(work)
    watching = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({doing, watching}, return_when=asyncio.FIRST_COMPLETED)
        if not doing.done():
            raise ApiError(499, "The client is gone.")
        return doing.result()
    finally:
        watching.cancel()
        if not doing.done():
            doing.cancel()
            await asyncio.wait({doing})


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _metrics(request: Request) -> Response:
    metrics: Metrics = request.app.state.metrics
    return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)


routes = [
    Route("/v1/chat/completions", _chat, methods=["POST"]),
    Route("/metrics", _metrics),
]
