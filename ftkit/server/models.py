"""``/v1/models``."""

from __future__ import annotations

from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from ftkit.server.names import ModelNames, Served

__all__ = ["routes"]


async def _list(request: Request) -> JSONResponse:
    names: ModelNames = request.app.state.names
    found = await run_in_threadpool(names.all, request.state.project)
    return JSONResponse({"object": "list", "data": [_shown(one) for one in found]})


async def _retrieve(request: Request) -> JSONResponse:
    names: ModelNames = request.app.state.names
    found = await run_in_threadpool(names.resolve, request.path_params["model"], request.state.project)
    return JSONResponse(_shown(found))


def _shown(one: Served) -> dict[str, Any]:
    return {"id": one.name, "object": "model", "created": one.created, "owned_by": one.owned_by}


routes = [
    Route("/v1/models", _list, methods=["GET"]),
    Route("/v1/models/{model:path}", _retrieve, methods=["GET"]),
]
