"""``/v1/fine_tuning/jobs``."""

from __future__ import annotations

import re
import time
from typing import Any

from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from ftkit.server.errors import ApiError
from ftkit.server.files.file_table import FileTable
from ftkit.server.graders.grader_schema import grader_models, parse_grader
from ftkit.server.jobs.job_record import ACTIVE_STATUSES, JobRecord, JobStatus
from ftkit.server.jobs.job_scheduler import JobScheduler
from ftkit.server.jobs.job_table import JobTable, Told
from ftkit.server.jobs.recipe import job_recipe
from ftkit.server.jobs.request import JobRequest, method_and_hyperparameters, seed_of
from ftkit.server.jobs.training_rows import copy_rows
from ftkit.server.model_names import ModelNames
from ftkit.server.request_body import page_limit, parse_json_body
from ftkit.server.settings import Settings
from ftkit.server.state import State, new_id

__all__ = ["routes"]

_MOST = 100
_GRADER = "method.reinforcement.grader"
_FILTER = re.compile(r"metadata\[(.+)\]", re.DOTALL)


def _create_job(request: Request, asked: JobRequest) -> JobRecord:
    state: State = request.app.state.state
    settings: Settings = request.app.state.settings
    names: ModelNames = request.app.state.names
    files: FileTable = request.app.state.files
    jobs: JobTable = request.app.state.jobs
    project = request.state.project
    method, hyperparameters = method_and_hyperparameters(asked)
    model = names.resolve(asked.model, project)
    sources = {}
    for role, file_id in (("training", asked.training_file), ("validation", asked.validation_file)):
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
    grader, sources_of_grader = None, {}
    if asked.method is not None and asked.method.reinforcement is not None:
        grader = asked.method.reinforcement.grader
        found = parse_grader(grader, _GRADER, settings)
        sources_of_grader = grader_models(found, names, project, _GRADER)
    suffix = None if asked.suffix is None else _tidy(asked.suffix)
    base = asked.model.split(":")[1] if asked.model.startswith("ft:") else names.canonical(asked.model) or asked.model
    record = JobRecord(
        id=new_id("ftjob-"),
        project=project,
        created_at=int(time.time()),
        model=asked.model if asked.model.startswith("ft:") else base,
        source=model.source,
        tuned_name=f"ft:{base}:{settings.organization}:{suffix or ''}:{new_id('', 8)}",
        method=method,
        hyperparameters=hyperparameters,
        grader=grader,
        grader_models=sources_of_grader,
        seed=seed_of(asked),
        suffix=asked.suffix,
        metadata=asked.metadata,
        training_file=asked.training_file,
        validation_file=asked.validation_file,
    )
    try:
        job_recipe(settings, record)
    except ValidationError as error:
        first, param = error.errors()[0], "hyperparameters"
        message = f"The hyperparameters cannot be used: {first['msg'].removeprefix('Value error, ')}."
        if first["loc"] == ("num_generations",):
            param = "method.reinforcement.hyperparameters.compute_multiplier"
            message = f"Invalid value for '{param}': less than two answers to a prompt teach nothing."
        raise ApiError(400, message, param=param, code="invalid_value") from None
    try:
        for role, content in sources.items():
            copy_rows(content, state.job_folder(record.id), role)
    except FileNotFoundError:  # deleted in this moment
        raise ApiError(400, "A file does not exist any more.", param="training_file", code="invalid_file") from None
    watched = "" if asked.validation_file is None else f" and validation file: {asked.validation_file}"
    told = [
        Told(f"Created fine-tuning job: {record.id}"),
        Told(f"Validating training file: {asked.training_file}{watched}"),
    ]
    jobs.create(record, told)
    return record


async def _create(request: Request) -> JSONResponse:
    asked = await parse_json_body(request, JobRequest)
    record = await run_in_threadpool(_create_job, request, asked)
    return _answer(request, record)


async def _list(request: Request) -> JSONResponse:
    jobs: JobTable = request.app.state.jobs
    settings: Settings = request.app.state.settings
    query = request.query_params
    wanted = {name[9:-1]: value for name, value in query.items() if _FILTER.fullmatch(name)}
    found, more = await run_in_threadpool(
        jobs.page,
        request.state.project,
        after=query.get("after"),
        limit=page_limit(request, 20, _MOST),
        metadata=wanted,
        without=query.get("metadata") in ("null", ""),
    )
    shown = [one.shown(settings.organization) for one in found]
    return JSONResponse({"object": "list", "data": shown, "has_more": more})


async def _retrieve(request: Request) -> JSONResponse:
    return JSONResponse((await _job(request)).shown(request.app.state.settings.organization))


async def _events(request: Request) -> JSONResponse:
    jobs: JobTable = request.app.state.jobs
    job, limit = await _job(request), page_limit(request, 20, _MOST)
    after = request.query_params.get("after")
    found, more = await run_in_threadpool(jobs.events, job.id, after=after, limit=limit)
    return JSONResponse({"object": "list", "data": found, "has_more": more})


async def _checkpoints(request: Request) -> JSONResponse:
    jobs: JobTable = request.app.state.jobs
    job, limit = await _job(request), page_limit(request, 10, _MOST)
    after = request.query_params.get("after")
    found, more = await run_in_threadpool(jobs.checkpoints, job, after=after, limit=limit)
    ends = {"first_id": found[0]["id"] if found else None, "last_id": found[-1]["id"] if found else None}
    return JSONResponse({"object": "list", "data": found, **ends, "has_more": more})


async def _cancel(request: Request) -> JSONResponse:
    def change(now: JobRecord) -> dict[str, Any]:
        _expect(now, ACTIVE_STATUSES, "cancelled")
        ended = {"status": "cancelled", "finished_at": int(time.time()), "estimated_finish": None}
        return ended | ({"stopping": True} if now.status == "running" else {})

    return await _act(request, change, "Fine-tuning job cancelled")


async def _pause(request: Request) -> JSONResponse:
    def change(now: JobRecord) -> dict[str, Any]:
        _expect(now, ("queued", "running"), "paused")
        return {"status": "paused"} | ({"stopping": True} if now.status == "running" else {})

    return await _act(request, change, "Fine-tuning job paused")


async def _resume(request: Request) -> JSONResponse:
    def change(now: JobRecord) -> dict[str, Any]:
        _expect(now, ("paused",), "resumed")
        return {"status": "queued"}

    return await _act(request, change, "Fine-tuning job resumed")


async def _act(request: Request, change: Any, message: str) -> JSONResponse:
    jobs: JobTable = request.app.state.jobs
    job = await _job(request)
    return _answer(request, await run_in_threadpool(jobs.update, job.id, change, [Told(message)]))


def _answer(request: Request, record: JobRecord) -> JSONResponse:
    scheduler: JobScheduler = request.app.state.scheduler
    scheduler.wake()
    return JSONResponse(record.shown(request.app.state.settings.organization))


async def _job(request: Request) -> JobRecord:
    jobs: JobTable = request.app.state.jobs
    return await run_in_threadpool(jobs.get, request.path_params["job"], request.state.project)


def _expect(job: JobRecord, statuses: tuple[JobStatus, ...], wish: str) -> None:
    if job.status not in statuses:
        message = f"The job {job.id} is {job.status} and cannot be {wish}."
        raise ApiError(400, message, param="fine_tuning_job_id", code="invalid_state")


def _tidy(suffix: str) -> str:
    """The suffix as part of a model's name: lower case, and ``-`` in the place of what has a meaning there."""
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
