"""Routes of ``/v1/fine_tuning/jobs``."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from typing import Any

from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from ftkit.graders import Grader
from ftkit.server.errors import ApiError
from ftkit.server.files.file_table import FileTable
from ftkit.server.graders.grader_schema import check_grader, grader_models, parse_grader
from ftkit.server.jobs.job_record import ACTIVE_STATUSES, JobRecord, JobStatus
from ftkit.server.jobs.job_scheduler import JobScheduler
from ftkit.server.jobs.job_table import JobEvent, JobTable
from ftkit.server.jobs.recipe import job_recipe
from ftkit.server.jobs.request import JobRequest, method_and_hyperparameters, seed_of
from ftkit.server.jobs.training_rows import copy_rows
from ftkit.server.json_list import list_response
from ftkit.server.model_names import ModelNames
from ftkit.server.request_body import check_list_query, page_limit, parse_json_body
from ftkit.server.settings import Settings
from ftkit.server.state import State, new_id
from ftkit.server.workers import WorkerPool

__all__ = ["routes"]

_MAX_PAGE = 100
_EVENT_POLL_S = 0.5
_MAX_METADATA_FILTERS = 16
_GRADER_PARAM = "method.reinforcement.grader"
_METADATA_FILTER = re.compile(r"metadata\[(.+)\]", re.DOTALL)


def _create_job(request: Request, body: JobRequest, parsed: Grader | None) -> JobRecord:
    state: State = request.app.state.state
    settings: Settings = request.app.state.settings
    names: ModelNames = request.app.state.names
    files: FileTable = request.app.state.files
    jobs: JobTable = request.app.state.jobs
    project = request.state.project
    method, hyperparameters = method_and_hyperparameters(body)
    model = names.resolve(body.model, project)
    sources = {}
    for role, file_id in (("training", body.training_file), ("validation", body.validation_file)):
        if file_id is None:
            continue
        try:
            file = files.get(file_id, project)
        except ApiError:
            message = f"File '{file_id}' does not exist."
            raise ApiError(400, message, param=f"{role}_file", code="invalid_file") from None
        if file.purpose != "fine-tune":
            message = f"File '{file_id}' is for '{file.purpose}', not for 'fine-tune'."
            raise ApiError(400, message, param=f"{role}_file", code="invalid_file")
        sources[role] = files.content(file)
    models_of_grader = {}
    if parsed is not None:
        check_grader(parsed, _GRADER_PARAM, settings)
        models_of_grader = grader_models(parsed, names, project, _GRADER_PARAM)
    suffix = None if body.suffix is None else _normalized_suffix(body.suffix)
    base = body.model.split(":")[1] if body.model.startswith("ft:") else names.canonical(body.model) or body.model
    record = JobRecord(
        id=new_id("ftjob-"),
        project=project,
        created_at=int(time.time()),
        model=body.model if body.model.startswith("ft:") else base,
        source=model.source,
        tuned_name=f"ft:{base}:{settings.organization}:{suffix or ''}:{new_id('', 8)}",
        method=method,
        hyperparameters=hyperparameters,
        grader=_grader_form(body),
        grader_models=models_of_grader,
        seed=seed_of(body),
        suffix=body.suffix,
        metadata=body.metadata,
        training_file=body.training_file,
        validation_file=body.validation_file,
    )
    try:
        job_recipe(settings, record, parsed)
    except ValidationError as error:
        first, param = error.errors()[0], "hyperparameters"
        message = f"Invalid hyperparameters: {first['msg'].removeprefix('Value error, ')}."
        if first["loc"] == ("num_generations",):
            param = "method.reinforcement.hyperparameters.compute_multiplier"
            message = f"Invalid value for '{param}': reinforcement needs at least two answers per prompt."
        raise ApiError(400, message, param=param, code="invalid_value") from None
    try:
        for role, content in sources.items():
            copy_rows(content, state.job_folder(record.id), role)
    except FileNotFoundError:  # deleted in the meantime
        raise ApiError(400, "A file was deleted.", param="training_file", code="invalid_file") from None
    validation = "" if body.validation_file is None else f" and validation file: {body.validation_file}"
    events = [
        JobEvent(f"Created fine-tuning job: {record.id}"),
        JobEvent(f"Validating training file: {body.training_file}{validation}"),
    ]
    jobs.create(record, events)
    return record


def _grader_form(body: JobRequest) -> dict[str, Any] | None:
    reinforcement = None if body.method is None else body.method.reinforcement
    return None if reinforcement is None else reinforcement.grader


async def _create(request: Request) -> JSONResponse:
    body = await parse_json_body(request, JobRequest)
    workers: WorkerPool = request.app.state.workers
    form = _grader_form(body)
    parsed = None if form is None else await workers.call(parse_grader, form, _GRADER_PARAM)
    record = await run_in_threadpool(_create_job, request, body, parsed)
    return _respond(request, record)


async def _list(request: Request) -> Response:
    jobs: JobTable = request.app.state.jobs
    settings: Settings = request.app.state.settings
    query = request.query_params
    filters = [name for name in query if _METADATA_FILTER.fullmatch(name)]
    check_list_query(request, "limit", "after", "metadata", *filters)
    metadata = {name[9:-1]: value for name, value in query.items() if _METADATA_FILTER.fullmatch(name)}
    if len(metadata) > _MAX_METADATA_FILTERS:
        message = f"At most {_MAX_METADATA_FILTERS} metadata filters are allowed."
        raise ApiError(400, message, param="metadata", code="invalid_value")
    page, has_more = await run_in_threadpool(
        jobs.page,
        request.state.project,
        after=query.get("after"),
        limit=page_limit(request, 20, _MAX_PAGE),
        metadata=metadata,
        without=query.get("metadata") in ("null", ""),
    )
    data = [job.to_openai(settings.organization) for job in page]
    return await list_response(data, has_more=has_more)


async def _retrieve(request: Request) -> JSONResponse:
    return JSONResponse((await _job(request)).to_openai(request.app.state.settings.organization))


async def _events(request: Request) -> Response:
    jobs: JobTable = request.app.state.jobs
    if _wants_stream(request):
        return StreamingResponse(
            _event_stream(request, await _job(request)),
            media_type="text/event-stream",
            headers={"cache-control": "no-store"},
        )
    check_list_query(request, "limit", "after", "stream")
    job, limit = await _job(request), page_limit(request, 20, _MAX_PAGE)
    after = request.query_params.get("after")
    data, has_more = await run_in_threadpool(jobs.events, job.id, after=after, limit=limit)
    return await list_response(data, has_more=has_more)


def _wants_stream(request: Request) -> bool:
    text = request.query_params.get("stream", "false").lower()
    if text not in ("true", "false", "1", "0"):
        message = f"Invalid value for 'stream': {text[:40]!r} is neither true nor false."
        raise ApiError(400, message, param="stream", code="invalid_value")
    return text in ("true", "1")


async def _event_stream(request: Request, job: JobRecord) -> AsyncIterator[bytes]:
    """Send a job's events as server-sent events, from its first one until it has ended."""
    jobs: JobTable = request.app.state.jobs
    scheduler: JobScheduler = request.app.state.scheduler
    seq, known = 0, -1
    while True:
        changes = jobs.changes(job.id)
        if changes == known and not scheduler.draining:  # hundreds of streams must not ask the database all the time
            await asyncio.sleep(_EVENT_POLL_S)
            continue
        known = changes
        # The status is read before the events, so that the last ones are sent.
        now = await run_in_threadpool(jobs.get, job.id, job.project)
        new = await run_in_threadpool(jobs.events_since, job.id, seq)
        for number, event in new:
            seq = number
            yield b"data: " + json.dumps(event).encode() + b"\n\n"
        if not new and (now.status not in ACTIVE_STATUSES or scheduler.draining):
            yield b"data: [DONE]\n\n"
            return
        if new:
            known = -1  # there may be more


async def _checkpoints(request: Request) -> Response:
    jobs: JobTable = request.app.state.jobs
    check_list_query(request, "limit", "after")
    job, limit = await _job(request), page_limit(request, 10, _MAX_PAGE)
    after = request.query_params.get("after")
    data, has_more = await run_in_threadpool(jobs.checkpoints, job, after=after, limit=limit)
    ids = {"first_id": data[0]["id"] if data else None, "last_id": data[-1]["id"] if data else None}
    return await list_response(data, **ids, has_more=has_more)


async def _cancel(request: Request) -> JSONResponse:
    def change(now: JobRecord) -> dict[str, Any]:
        _require_status(now, ACTIVE_STATUSES, "cancelled")
        changes = {"status": "cancelled", "finished_at": int(time.time()), "estimated_finish": None}
        return changes | ({"stopping": True} if now.status == "running" else {})

    return await _update(request, change, "Fine-tuning job cancelled")


async def _pause(request: Request) -> JSONResponse:
    def change(now: JobRecord) -> dict[str, Any]:
        _require_status(now, ("queued", "running"), "paused")
        return {"status": "paused"} | ({"stopping": True} if now.status == "running" else {})

    return await _update(request, change, "Fine-tuning job paused")


async def _resume(request: Request) -> JSONResponse:
    def change(now: JobRecord) -> dict[str, Any]:
        _require_status(now, ("paused",), "resumed")
        return {"status": "queued"}

    return await _update(request, change, "Fine-tuning job resumed")


async def _update(request: Request, change: Any, message: str) -> JSONResponse:
    jobs: JobTable = request.app.state.jobs
    job = await _job(request)
    return _respond(request, await run_in_threadpool(jobs.update, job.id, change, [JobEvent(message)]))


def _respond(request: Request, record: JobRecord) -> JSONResponse:
    scheduler: JobScheduler = request.app.state.scheduler
    scheduler.wake()
    return JSONResponse(record.to_openai(request.app.state.settings.organization))


async def _job(request: Request) -> JobRecord:
    jobs: JobTable = request.app.state.jobs
    return await run_in_threadpool(jobs.get, request.path_params["job"], request.state.project)


def _require_status(job: JobRecord, statuses: tuple[JobStatus, ...], action: str) -> None:
    if job.status not in statuses:
        message = f"The job {job.id} is {job.status} and cannot be {action}."
        raise ApiError(400, message, param="fine_tuning_job_id", code="invalid_state")


def _normalized_suffix(suffix: str) -> str:
    """Convert a suffix to a part of a model's name: lower case, with ``-`` for characters that are special there."""
    return re.sub(r"[^a-z0-9._-]+", "-", suffix.lower()).strip("-")


_BASE = "/v1/fine_tuning/jobs"
routes = [
    Route(_BASE, _create, methods=["POST"]),
    Route(_BASE, _list, methods=["GET"]),
    Route(f"{_BASE}/{{job}}", _retrieve, methods=["GET"]),
    Route(f"{_BASE}/{{job}}/events", _events, methods=["GET"]),
    Route(f"{_BASE}/{{job}}/checkpoints", _checkpoints, methods=["GET"]),
    Route(f"{_BASE}/{{job}}/cancel", _cancel, methods=["POST"]),
    Route(f"{_BASE}/{{job}}/pause", _pause, methods=["POST"]),
    Route(f"{_BASE}/{{job}}/resume", _resume, methods=["POST"]),
]
