"""The ASGI application: routes, middleware and shared state."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware

from ftkit.server import lazy_chat, models
from ftkit.server.auth import ApiKeys, AuthMiddleware
from ftkit.server.client_schema import ClientSchemas
from ftkit.server.compressed_bodies import CompressedBodyMiddleware
from ftkit.server.errors import HANDLERS
from ftkit.server.files import routes as files
from ftkit.server.files import uploads
from ftkit.server.files.file_table import FileTable
from ftkit.server.graders import routes as graders
from ftkit.server.graders.grader_runs import GraderRuns
from ftkit.server.jobs import routes as jobs
from ftkit.server.jobs.job_scheduler import JobScheduler
from ftkit.server.jobs.job_table import JobTable
from ftkit.server.model_names import ModelNames
from ftkit.server.pages import routes as page
from ftkit.server.settings import Settings
from ftkit.server.slow_clients import BodyTimeoutMiddleware
from ftkit.server.state import State
from ftkit.server.workers import WorkerPool
from ftkit.store import Store

__all__ = ["create_app"]

_WORKERS = max(2, min(8, os.cpu_count() or 2))
"""Processes that read what clients send."""
_WORKER_BYTES = 2 * 2**30
"""Memory of each of them."""


def create_app(settings: Settings) -> Starlette:
    """Create the ASGI application, which :func:`ftkit.server.http_server.serve` runs.

    ``app.state`` has ``settings``, ``state`` (the server's tables), ``keys``, ``names``, ``files``, ``uploads``,
    ``jobs``, ``scheduler``, ``grader_runs``, ``workers``, ``schemas``, ``serving`` (the inference engine) and
    ``metrics``.

    Args:
        settings: the server's settings.

    Returns:
        The application.
    """
    state = State(Store())
    keys = ApiKeys(state)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        scheduler: JobScheduler = app.state.scheduler
        scheduler.start()
        try:
            yield
        finally:
            if (serving := app.state.loaded) is not None:
                await serving.close()
            await run_in_threadpool(scheduler.stop)
            app.state.workers.close()

    app = Starlette(
        routes=[
            *(*models.routes, *lazy_chat.routes, *files.routes, *uploads.routes),
            *(*jobs.routes, *graders.routes, *page.routes),
        ],
        middleware=[
            Middleware(AuthMiddleware, keys=keys, loopback=settings.loopback),
            Middleware(BodyTimeoutMiddleware, timeout_s=settings.body_patience_s),
            Middleware(CompressedBodyMiddleware),
        ],
        exception_handlers=HANDLERS,
        lifespan=lifespan,
    )
    app.state = lazy_chat.ChatState(settings)
    app.state.state, app.state.keys = state, keys
    app.state.workers = WorkerPool(_WORKERS, _WORKER_BYTES)
    app.state.schemas = ClientSchemas(app.state.workers)
    app.state.names, app.state.files, app.state.jobs = ModelNames(settings, state), FileTable(state), JobTable(state)
    app.state.uploads = uploads.UploadTable(state, app.state.files)
    app.state.grader_runs = GraderRuns(settings, app.state.workers)
    app.state.scheduler = JobScheduler(settings, state, app.state.jobs, app.state.files, app.state.workers)
    return app
