"""The whole application: its parts, its routes, its beginning and its end."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.middleware import Middleware

from ftkit.server import models
from ftkit.server.auth import Gate, Keys
from ftkit.server.errors import HANDLERS
from ftkit.server.names import ModelNames
from ftkit.server.settings import Settings
from ftkit.server.state import State
from ftkit.store import Store

__all__ = ["create_app"]


def create_app(settings: Settings) -> Starlette:
    """The application, to be run by an ASGI server or :func:`ftkit.server.serving.run`.

    Its state has ``settings``, ``state`` (the server's tables), ``keys`` and ``names``.
    """
    state = State(Store())
    keys = Keys(state)
    app = Starlette(
        routes=[*models.routes],
        middleware=[Middleware(Gate, keys=keys, loopback=settings.loopback)],
        exception_handlers=HANDLERS,
    )
    app.state.settings, app.state.state, app.state.keys = settings, state, keys
    app.state.names = ModelNames(settings, state)
    return app
