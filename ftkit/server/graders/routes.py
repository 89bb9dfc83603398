"""``/v1/fine_tuning/alpha/graders``: whether a grader is one, and what it gives for an answer."""

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
from ftkit.server.graders.grader_schema import grader_models, parse_grader
from ftkit.server.request_body import parse_json_body

__all__ = ["routes"]

_MOST_BYTES = 512 * 1024
"""Of a request: a Python grader's code, which OpenAI limits to 256 kB, and as much again to be graded. Some measures
take time with the square of a text's length."""


class _ValidateRequest(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    grader: dict[str, Any]


class _RunRequest(_ValidateRequest):
    model_sample: str
    item: dict[str, Any] | None = None


def _checked(request: Request, form: dict[str, Any]) -> tuple[Grader, dict[str, str]]:
    state = request.app.state
    grader = parse_grader(form, "grader", state.settings)
    return grader, grader_models(grader, state.names, request.state.project, "grader")


async def _validate(request: Request) -> JSONResponse:
    asked = await parse_json_body(request, _ValidateRequest, _MOST_BYTES)
    await run_in_threadpool(_checked, request, asked.grader)
    return JSONResponse({"grader": asked.grader})


async def _run(request: Request) -> JSONResponse:
    asked = await parse_json_body(request, _RunRequest, _MOST_BYTES)
    grader, sources = await run_in_threadpool(_checked, request, asked.grader)
    grader_runs: GraderRuns = request.app.state.grader_runs
    try:
        shown = await grader_runs.run(request.app.state, grader, sources, asked.item or {}, asked.model_sample)
    except BusyError as error:
        raise busy(error) from None
    return JSONResponse(shown)


_BASE = "/v1/fine_tuning/alpha/graders"
routes = [
    Route(f"{_BASE}/validate", _validate, methods=["POST"]),
    Route(f"{_BASE}/run", _run, methods=["POST"]),
]
