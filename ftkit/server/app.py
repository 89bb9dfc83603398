"""The whole application: its parts, its routes, its beginning and its end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.middleware import Middleware

from ftkit.server import chat, models
from ftkit.server.auth import Gate, Keys
from ftkit.server.errors import HANDLERS
from ftkit.server.names import ModelNames
from ftkit.server.settings import Settings
from ftkit.server.state import State
from ftkit.serving import Limits, Serving
from ftkit.store import Store

__all__ = ["create_app"]


def create_app(settings: Settings) -> Starlette:
    """The application, to be run by an ASGI server or :func:`ftkit.server.serving.run`.

    Its state has ``settings``, ``state`` (the server's tables), ``keys``, ``names``, ``serving`` and
    ``metrics``.
    """
    state = State(Store())
    keys = Keys(state)
    serving = Serving(
        Limits(settings.memory_bytes, settings.cache_bytes, batch=settings.batch_answers, queue=settings.max_answers)
    )

    @asynccontextmanager
    async def life(app: Starlette) -> AsyncIterator[None]:
        yield
        await serving.close()

    app = Starlette(
        routes=[*models.routes, *chat.routes],
        lifespan=life,
        middleware=[Middleware(Gate, keys=keys, loopback=settings.loopback)],
        exception_handlers=HANDLERS,
    )
    app.state.settings, app.state.state, app.state.keys = settings, state, keys
    app.state.serving, app.state.metrics = serving, chat.Metrics(serving)
    app.state.names = ModelNames(settings, state)
    return app
