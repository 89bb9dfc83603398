"""Routes of ``/v1/chat/completions`` and ``/metrics``."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ftkit.server.chat.completion import Completion, start_completion, unheld_header
from ftkit.server.chat.connection import EventStream, unless_disconnected
from ftkit.server.chat.metrics import Metrics, counted
from ftkit.server.chat.reply import DONE, ReplyBuilder, dumps_in_pieces, event
from ftkit.server.chat.request import ChatRequest
from ftkit.server.errors import ApiError
from ftkit.server.model_names import ModelNames
from ftkit.server.request_body import parse_json_body

__all__ = ["routes"]


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


async def _metrics(request: Request) -> Response:
    metrics: Metrics = request.app.state.metrics
    return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)


routes = [
    Route("/v1/chat/completions", counted(_respond), methods=["POST"]),
    Route("/metrics", _metrics),
]
