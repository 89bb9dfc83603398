"""``/`` and ``/jobs/…``."""

from __future__ import annotations

from importlib.resources import files as resources

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from ftkit.render.markup import Markup, Piece, element, page
from ftkit.server.jobs.job_record import JobRecord
from ftkit.server.jobs.job_table import JobTable
from ftkit.server.jobs.result_file import results_csv
from ftkit.server.model_names import ModelNames
from ftkit.server.pages.components import connecting, job_live, jobs_live, trying

__all__ = ["routes"]

_SHOWN_JOBS, _SHOWN_EVENTS = 50, 100
_HEADERS = {
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    # What a policy inside of the page cannot say.
    "content-security-policy": "frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
}


def _jobs_live(request: Request) -> Markup:
    jobs: JobTable = request.app.state.jobs
    found, _ = jobs.page(request.state.project, after=None, limit=_SHOWN_JOBS, metadata=None, without=False)
    return jobs_live(found, jobs.last_metrics([job.id for job in found]))


def _job_live(request: Request) -> tuple[JobRecord, Markup]:
    jobs: JobTable = request.app.state.jobs
    job = jobs.get(request.path_params["job"], request.state.project)
    events, _ = jobs.events(job.id, after=None, limit=_SHOWN_EVENTS)
    checkpoints, _ = jobs.checkpoints(job, after=None, limit=10)
    return job, job_live(job, jobs.metrics(job.id), events, checkpoints)


def _index_page(request: Request) -> str:
    names: ModelNames = request.app.state.names
    models = [one.name for one in names.all(request.state.project)]
    asked = request.query_params.get("model")
    url = f"{request.url.scheme}://{request.url.netloc}"
    return _page(
        "ftkit serve",
        element("h1", "ftkit serve"),
        element("p", f"OpenAI's fine-tuning API at {url}/v1", class_="quiet"),
        _section("Jobs", element("div", _jobs_live(request), data_live="/jobs/live")),
        _section("Try a model", trying(models, asked)),
        _section("How to connect", connecting(url, models[0], keys=request.app.state.keys.required())),
    )


def _job_page(request: Request) -> str:
    job, live = _job_live(request)
    return _page(
        f"{job.id} – ftkit serve",
        element("p", element("a", "All jobs", href="/"), class_="quiet"),
        element("h1", job.id),
        element("div", live, data_live=f"/jobs/{job.id}/live"),
    )


async def _index(request: Request) -> Response:
    return _html(await run_in_threadpool(_index_page, request))


async def _index_live(request: Request) -> Response:
    return _html(await run_in_threadpool(_jobs_live, request))


async def _job(request: Request) -> Response:
    return _html(await run_in_threadpool(_job_page, request))


async def _live(request: Request) -> Response:
    _, live = await run_in_threadpool(_job_live, request)
    return _html(live)


async def _results(request: Request) -> Response:
    jobs: JobTable = request.app.state.jobs
    job = await run_in_threadpool(jobs.get, request.path_params["job"], request.state.project)
    metrics = await run_in_threadpool(jobs.metrics, job.id)
    headers = {"content-disposition": 'attachment; filename="step_metrics.csv"'}
    return Response(results_csv(job.method, metrics), media_type="text/csv", headers=headers)


def _section(title: str, *content: Piece) -> Markup:
    return element("section", element("h2", title), *content, class_="panel")


def _page(title: str, *body: Piece) -> str:
    held = resources("ftkit.server.pages")
    style, script = (held.joinpath(name).read_text(encoding="utf-8") for name in ("style.css", "page.js"))
    return page(title, style, *body, scripts=[script], connects=True)


def _html(text: str) -> HTMLResponse:
    return HTMLResponse(text, headers=_HEADERS)


routes = [
    Route("/", _index, methods=["GET"]),
    Route("/jobs/live", _index_live, methods=["GET"]),
    Route("/jobs/{job}", _job, methods=["GET"]),
    Route("/jobs/{job}/live", _live, methods=["GET"]),
    Route("/jobs/{job}/results.csv", _results, methods=["GET"]),
]
