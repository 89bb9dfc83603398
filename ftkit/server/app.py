"""The whole application: its parts, its routes, its beginning and its end."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware

from ftkit.server import lazy_chat, models
from ftkit.server.auth import Gate, Keys
from ftkit.server.errors import HANDLERS
from ftkit.server.files import routes as files
from ftkit.server.files import uploads
from ftkit.server.files.file_table import Files
from ftkit.server.graders import routes as graders
from ftkit.server.graders.grader_runs import Trials
from ftkit.server.jobs import routes as jobs
from ftkit.server.jobs.job_scheduler import Foreman
from ftkit.server.jobs.job_table import Jobs
from ftkit.server.model_names import ModelNames
from ftkit.server.pages import routes as page
from ftkit.server.settings import Settings
from ftkit.server.slow_clients import Pace
from ftkit.server.state import State
from ftkit.store import Store

__all__ = ["create_app"]


def create_app(settings: Settings) -> Starlette:
    """The application, to be run by an ASGI server; :func:`ftkit.server.http_server.serve` does.

    Its state has ``settings``, ``state`` (the server's tables), ``keys``, ``names``, ``files``, ``uploads``, ``jobs``,
    ``foreman``, who runs the jobs from the application's beginning to its end, ``trials`` of graders, ``serving``,
    which answers, and ``metrics``.
    """
    state = State(Store())
    keys = Keys(state)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        foreman: Foreman = app.state.foreman
        foreman.start()
        try:
            yield
        finally:
            if (serving := app.state.loaded) is not None:
                await serving.close()
            await run_in_threadpool(foreman.stop)

    app = Starlette(
        routes=[
            *(*models.routes, *lazy_chat.routes, *files.routes, *uploads.routes),
            *(*jobs.routes, *graders.routes, *page.routes),
        ],
        middleware=[
            Middleware(Gate, keys=keys, loopback=settings.loopback),
            Middleware(Pace, patience_s=settings.body_patience_s),
        ],
        exception_handlers=HANDLERS,
        lifespan=lifespan,
    )
    app.state = lazy_chat.ChatState(settings)
    app.state.state, app.state.keys = state, keys
    app.state.names, app.state.files, app.state.jobs = ModelNames(settings, state), Files(state), Jobs(state)
    app.state.uploads = uploads.Uploads(state, app.state.files)
    app.state.trials = Trials(settings)
    app.state.foreman = Foreman(settings, state, app.state.jobs, app.state.files)
    return app
