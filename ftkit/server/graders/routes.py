"""Routes of ``/v1/fine_tuning/alpha/graders``: validate and run a grader."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from ftkit.errors import BusyError
from ftkit.graders import Grader
from ftkit.server.errors import busy
from ftkit.server.graders.grader_runs import GraderRuns
from ftkit.server.graders.grader_schema import check_grader, grader_models, parse_grader
from ftkit.server.request_body import parse_json_body
from ftkit.server.workers import WorkerPool

__all__ = ["routes"]

_MAX_BODY_BYTES = 512 * 1024
"""Largest request: 256 kB of Python code, as at OpenAI, and as much for the answer."""


class _ValidateRequest(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    grader: dict[str, Any]


class _RunRequest(_ValidateRequest):
    model_sample: str
    item: dict[str, Any] | None = None


async def _parse(request: Request, form: dict[str, Any]) -> tuple[Grader, dict[str, str]]:
    state = request.app.state
    workers: WorkerPool = state.workers
    grader = await workers.call(parse_grader, form, "grader")
    await run_in_threadpool(check_grader, grader, "grader", state.settings)
    sources = await run_in_threadpool(grader_models, grader, state.names, request.state.project, "grader")
    return grader, sources


async def _validate(request: Request) -> JSONResponse:
    body = await parse_json_body(request, _ValidateRequest, _MAX_BODY_BYTES)
    await _parse(request, body.grader)
    return JSONResponse({"grader": body.grader})


async def _run(request: Request) -> JSONResponse:
    body = await parse_json_body(request, _RunRequest, _MAX_BODY_BYTES)
    grader, sources = await _parse(request, body.grader)
    grader_runs: GraderRuns = request.app.state.grader_runs
    try:
        response = await grader_runs.run(
            request.app.state, grader, sources, body.item or {}, body.model_sample, request.state.project
        )
    except BusyError as error:
        raise busy(error) from None
    return JSONResponse(response)


_BASE = "/v1/fine_tuning/alpha/graders"
routes = [
    Route(f"{_BASE}/validate", _validate, methods=["POST"]),
    Route(f"{_BASE}/run", _run, methods=["POST"]),
]
