"""Routes of the web pages: ``/`` and ``/jobs/…``."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from ftkit.render.table import Cell, Table
from ftkit.render.templates import render_fragment, render_page
from ftkit.server.jobs.job_record import ACTIVE_STATUSES, JobRecord
from ftkit.server.jobs.job_table import JobTable
from ftkit.server.jobs.result_file import results_csv
from ftkit.server.model_names import ModelNames
from ftkit.server.pages.curves import job_curves

__all__ = ["routes"]

_MAX_JOBS, _MAX_EVENTS, _MAX_CHECKPOINTS = 50, 100, 10
_HEADERS = {
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    # Directives that are ignored in the page's own <meta> element.
    "content-security-policy": "frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
}


def _jobs(request: Request) -> dict[str, Any]:
    table: JobTable = request.app.state.jobs
    jobs, _ = table.page(request.state.project, after=None, limit=_MAX_JOBS, metadata=None, without=False)
    return {"jobs": _job_table(jobs, table.last_metrics([job.id for job in jobs]))}


def _job_table(jobs: Sequence[JobRecord], last: dict[str, dict[str, Any]]) -> Table:
    rows: list[list[str | Cell]] = []
    for job in jobs:
        metrics = last.get(job.id, {})
        value = metrics.get("train_loss", metrics.get("train_mean_reward"))
        rows.append(
            [
                Cell(job.id, href=f"/jobs/{job.id}"),
                Cell(job.status, css=f"status {job.status}"),
                job.model,
                job.method,
                f"{metrics['step']} of {metrics['total_steps']}" if metrics else "–",
                "–" if value is None else f"{value:.3f}",
                _time(job.created_at),
            ]
        )
    return Table(["job", "status", "model", "method", "step", "loss or reward", "created"], rows)


def _job(request: Request) -> dict[str, Any]:
    table: JobTable = request.app.state.jobs
    job = table.get(request.path_params["job"], request.state.project)
    events, _ = table.events(job.id, after=None, limit=_MAX_EVENTS)
    checkpoints, _ = table.checkpoints(job, after=None, limit=_MAX_CHECKPOINTS)
    return {
        "job": job,
        "facts": Table(["", ""], [[name, content] for name, content in _facts(job)], header=False),
        "curves": job_curves(table.metrics(job.id)),
        "checkpoints": Table(
            ["step", "model", "created"],
            [
                [
                    str(checkpoint["step_number"]),
                    checkpoint["fine_tuned_model_checkpoint"],
                    _time(checkpoint["created_at"]),
                ]
                for checkpoint in checkpoints
            ],
        ),
        "events": Table(
            ["time", "event"],
            [[_time(event["created_at"]), Cell(event["message"], css=f"message {event['level']}")] for event in events],
        ),
        "finished": job.status not in ACTIVE_STATUSES,
    }


def _facts(job: JobRecord) -> list[tuple[str, str | Cell]]:
    hyperparameters = job.hyperparameters | job.resolved
    facts: list[tuple[str, str | Cell]] = [("status", Cell(job.status, css=f"status {job.status}"))]
    if job.status == "succeeded":
        facts.append(("model", Cell(job.tuned_name, href=f"/?{urlencode({'model': job.tuned_name})}")))
    if job.error is not None:
        facts.append(("error", Cell(job.error.message, css="error message")))
    facts += [
        ("base", job.model),
        ("method", job.method),
        ("hyperparameters", ", ".join(f"{name} {value}" for name, value in hyperparameters.items())),
        ("seed", str(job.seed)),
        ("created", _time(job.created_at)),
    ]
    if job.status == "succeeded":
        facts.append(("trained tokens", f"{job.trained_tokens:,}" if job.trained_tokens else "–"))
        facts.append(("result file", Cell("step_metrics.csv", href=f"/jobs/{job.id}/results.csv")))
    if job.finished_at is not None:
        facts.append(("finished", _time(job.finished_at)))
    elif job.status == "running" and job.estimated_finish is not None:
        facts.append(("expected to finish", _time(job.estimated_finish)))
    return facts


def _index_page(request: Request) -> str:
    names: ModelNames = request.app.state.names
    return render_page(
        "server_index",
        "ftkit serve",
        scripts=["server.js"],
        connect=True,
        url=f"{request.url.scheme}://{request.url.netloc}",
        models=[model.name for model in names.all(request.state.project)],
        selected=request.query_params.get("model"),
        keys=request.app.state.keys.required(),
        **_jobs(request),
    )


def _job_page(request: Request) -> str:
    context = _job(request)
    title = f"{context['job'].id} – ftkit serve"
    return render_page("server_job", title, scripts=["server.js"], connect=True, **context)


async def _index(request: Request) -> Response:
    return _html(await run_in_threadpool(_index_page, request))


async def _jobs_live(request: Request) -> Response:
    context = await run_in_threadpool(_jobs, request)
    return _html(render_fragment("server_jobs", **context))


async def _job_index(request: Request) -> Response:
    return _html(await run_in_threadpool(_job_page, request))


async def _job_live(request: Request) -> Response:
    context = await run_in_threadpool(_job, request)
    return _html(render_fragment("server_job_live", **context))


async def _results(request: Request) -> Response:
    table: JobTable = request.app.state.jobs
    job = await run_in_threadpool(table.get, request.path_params["job"], request.state.project)
    metrics = await run_in_threadpool(table.metrics, job.id)
    headers = {"content-disposition": 'attachment; filename="step_metrics.csv"'}
    return Response(results_csv(job.method, metrics), media_type="text/csv", headers=headers)


def _html(text: str) -> HTMLResponse:
    return HTMLResponse(text, headers=_HEADERS)


def _time(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


routes = [
    Route("/", _index, methods=["GET"]),
    Route("/jobs/live", _jobs_live, methods=["GET"]),
    Route("/jobs/{job}", _job_index, methods=["GET"]),
    Route("/jobs/{job}/live", _job_live, methods=["GET"]),
    Route("/jobs/{job}/results.csv", _results, methods=["GET"]),
]
