"""Routes of ``/v1/responses``."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ftkit.errors import FtkitError
from ftkit.server.chat.choice import Choice
from ftkit.server.chat.completion import Completion, count_prompt, start_completion, unheld_header
from ftkit.server.chat.connection import EventStream, unless_disconnected
from ftkit.server.chat.metrics import Metrics, counted
from ftkit.server.chat.reply import ReplyBuilder
from ftkit.server.chat.request import ChatRequest
from ftkit.server.errors import ApiError
from ftkit.server.model_names import ModelNames
from ftkit.server.request_body import check_list_query, page_limit, parse_json_body
from ftkit.server.responses.input_items import references, resolved, stored_items
from ftkit.server.responses.reply import ResponseBuilder
from ftkit.server.responses.request import INCLUDED, ResponsesRequest, response_error, translate
from ftkit.server.responses.response_table import ResponseTable

__all__ = ["routes"]

_INLINE = 256
"""Most messages and parts that are translated on the event loop."""


class _Answer:
    """A response in progress."""

    def __init__(
        self,
        request: Request,
        body: ResponsesRequest,
        messages: list[dict[str, Any]],
        completion: Completion,
        reply: ReplyBuilder,
    ) -> None:
        self._body, self._messages, self._completion, self._reply = body, messages, completion, reply
        self._table = ResponseTable(request.app.state.state)
        self._project: str = request.state.project
        self.builder = ResponseBuilder(body)

    async def complete(self) -> dict[str, Any]:
        """Wait for the answer, and store the response."""
        async for _ in self._completion.deltas():
            pass
        return await self._stored()

    async def events(self) -> AsyncIterator[bytes]:
        """Yield the events of the stream. The response is stored before the last one says that it is complete."""
        for event in self.builder.start_events():
            yield event
        try:
            async for _, delta in self._completion.deltas():
                for event in self.builder.delta_events(delta):
                    yield event
            for event in self.builder.final_events(self._choice, self._usage()):
                yield event
            response = await self._stored()
        except ApiError as error:
            yield self.builder.failed_event(error)
        except (FtkitError, OSError) as error:
            yield self.builder.failed_event(ApiError(500, f"The response could not be stored: {error}"))
        else:
            yield self.builder.end_event(response)

    @property
    def _choice(self) -> Choice:
        return self._completion.choices[0]

    def _usage(self) -> dict[str, Any]:
        return self._reply.usage(self._completion.choices)

    async def _stored(self) -> dict[str, Any]:
        choice = self._choice
        response = self.builder.complete(choice, self._usage())
        if self._body.stored:
            answer: dict[str, Any] = {"role": "assistant", "content": choice.text}
            if choice.calls:
                answer |= {"content": choice.text or None, "tool_calls": choice.calls}
            if choice.thought:
                answer["reasoning_content"] = choice.thought
            items = stored_items(self._body.input)
            messages = [*self._messages, answer]
            await run_in_threadpool(self._table.add, self._project, response, items, messages)
        return response


async def _create(request: Request, metrics: Metrics) -> Response:
    try:
        return await _respond(request, metrics)
    except ApiError as error:
        raise response_error(error) from None


async def _count(request: Request, metrics: Metrics) -> Response:
    try:
        body = await parse_json_body(request, ResponsesRequest)
        body, _, chat = await _translated(request, body)
        names: ModelNames = request.app.state.names
        served = await run_in_threadpool(names.resolve, body.model, request.state.project)
        async with AsyncExitStack() as stack:
            counting = count_prompt(request, stack, served.source, chat, metrics, time.monotonic())
            tokens = await unless_disconnected(request, counting)
    except ApiError as error:
        raise response_error(error) from None
    return JSONResponse({"object": "response.input_tokens", "input_tokens": tokens})


def _compact(_: Request) -> Response:
    message = (
        "Unsupported endpoint: '/v1/responses/compact'. This server does not shorten conversations; send fewer input "
        "items."
    )
    raise ApiError(400, message, code="unsupported_endpoint")


async def _translated(
    request: Request, body: ResponsesRequest
) -> tuple[ResponsesRequest, list[dict[str, Any]], ChatRequest]:
    """The request with the items that it refers to, its messages, and the request for a chat completion."""
    body.check_supported()
    project, state, workers = request.state.project, request.app.state.state, request.app.state.workers
    if referred := references(body.input):
        items = await run_in_threadpool(ResponseTable(state).stored_items, referred, project)
        body = body.model_copy(update={"input": resolved(body.input, items)})
    earlier: list[dict[str, Any]] = []
    if body.previous_response_id is not None:
        table = ResponseTable(state)
        earlier = await run_in_threadpool(table.conversation, body.previous_response_id, project)
    if len(earlier) + body.size <= _INLINE:
        return body, *translate(body, earlier)
    return body, *await workers.call(translate, body, earlier)  # like a large body, in a worker


async def _respond(request: Request, metrics: Metrics) -> Response:
    started = time.monotonic()
    body = await parse_json_body(request, ResponsesRequest)
    body.check_supported()
    project, state = request.state.project, request.app.state.state
    if body.stored and await run_in_threadpool(state.disk_is_full):
        message = "The server's disk is full, so the response cannot be stored; send store=false."
        raise ApiError(507, message, "server_error", code="disk_full")
    body, messages, chat = await _translated(request, body)
    names: ModelNames = request.app.state.names
    served = await run_in_threadpool(names.resolve, body.model, project)
    async with AsyncExitStack() as stack:
        completion, reply = await unless_disconnected(
            request, start_completion(request, stack, served.source, chat, metrics, started)
        )
        headers = unheld_header(completion.unheld)
        answer = _Answer(request, body, messages, completion, reply)
        if body.stream:
            return EventStream(answer.events(), stack.pop_all(), headers)
        return JSONResponse(await unless_disconnected(request, answer.complete()), headers=headers)


def _retrieve(request: Request) -> Response:
    _check_query(request)
    table = ResponseTable(request.app.state.state)
    return JSONResponse(table.get(request.path_params["response_id"], request.state.project))


def _cancel(request: Request) -> Response:
    table = ResponseTable(request.app.state.state)
    table.get(request.path_params["response_id"], request.state.project)
    message = "Cannot cancel a response that is not in the background; this server has no other ones."
    raise ApiError(400, message, code="invalid_value")


def _check_query(request: Request) -> None:
    """Refuse query parameters that would change the answer and do not."""
    query = request.query_params
    for name in ("stream", "starting_after"):
        if query.get(name, "false") != "false":
            message = f"Unsupported parameter: '{name}': only responses in the background can be streamed again."
            raise ApiError(400, message, param=name, code="unsupported_parameter")
    for name in (*query.getlist("include"), *query.getlist("include[]")):
        if name not in INCLUDED:
            message = f"Invalid value for 'include': {name[:80]!r} is not supported by this server."
            raise ApiError(400, message, param="include", code="invalid_value")


def _delete(request: Request) -> Response:
    response_id = request.path_params["response_id"]
    ResponseTable(request.app.state.state).delete(response_id, request.state.project)
    return JSONResponse({"id": response_id, "object": "response", "deleted": True})


def _input_items(request: Request) -> Response:
    _check_query(request)
    check_list_query(request, "limit", "after", "order", "include", "include[]", "stream", "starting_after")
    table = ResponseTable(request.app.state.state)
    items = table.input_items(request.path_params["response_id"], request.state.project)
    order = request.query_params.get("order", "desc")
    if order not in ("asc", "desc"):
        raise ApiError(400, "Invalid value for 'order': expected asc or desc.", param="order", code="invalid_value")
    listed = items if order == "asc" else items[::-1]
    ids = [item["id"] for item in listed]
    after, limit = request.query_params.get("after"), page_limit(request, 20, 100)
    if after is not None and after not in ids:
        raise ApiError(400, f"Invalid value for 'after': there is no item {after[:100]!r}.", param="after")
    start = 0 if after is None else ids.index(after) + 1
    page = listed[start : start + limit]
    ends = {"first_id": page[0]["id"] if page else None, "last_id": page[-1]["id"] if page else None}
    return JSONResponse({"object": "list", "data": page, "has_more": start + limit < len(listed), **ends})


routes = [
    Route("/v1/responses", counted(_create), methods=["POST"]),
    Route("/v1/responses/input_tokens", counted(_count), methods=["POST"]),
    Route("/v1/responses/compact", _compact, methods=["POST"]),
    Route("/v1/responses/{response_id}", _retrieve, methods=["GET"]),
    Route("/v1/responses/{response_id}", _delete, methods=["DELETE"]),
    Route("/v1/responses/{response_id}/cancel", _cancel, methods=["POST"]),
    Route("/v1/responses/{response_id}/input_items", _input_items, methods=["GET"]),
]
