"""Load the inference engine at the first chat request, because torch takes seconds to import."""

from __future__ import annotations

import functools
import gc
import threading
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import State
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route, Router
from starlette.types import Receive, Scope, Send

from ftkit.server.settings import Settings

if TYPE_CHECKING:
    from ftkit.inference.service import InferenceService

__all__ = ["ChatState", "routes"]

_ROUTES = (
    "ftkit.server.chat.route",
    "ftkit.server.chat.text_completion",
    "ftkit.server.chat.embeddings",
    "ftkit.server.responses.routes",
)
"""Modules whose routes need torch."""
_OF_RESPONSE = ("/{response_id}", "/{response_id}/cancel", "/{response_id}/input_items")


class ChatState(State):
    """The application's state. ``serving`` (the inference engine) and ``metrics`` are created on first access.

    Args:
        settings: the server's settings.

    Raises:
        ConfigError: the engine is not installed, or cannot keep the settings' limits.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings
        self._state["_lock"] = threading.RLock()
        self._state["_make_pool"] = settings.engine.serving_pool(settings.limits)

    def __getattr__(self, key: Any) -> Any:
        if key in ("serving", "metrics") and key not in self._state:
            with self._state["_lock"]:
                if key not in self._state:
                    self._load()
        return super().__getattr__(key)

    @property
    def loaded(self) -> InferenceService | None:
        """``serving``, if it was created."""
        return self._state.get("serving")

    def _load(self) -> None:
        from ftkit.inference.service import InferenceService
        from ftkit.server.chat.metrics import Metrics

        serving = InferenceService(self._state["_make_pool"](), self._state["settings"].limits)
        self._state["metrics"] = Metrics(serving, self._state["names"].client_name)
        self._state["serving"] = serving


class _LazyRoutes:
    """An endpoint that imports what answers with models, and passes requests to its routes."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        modules = await run_in_threadpool(_modules)
        routes: list[BaseRoute] = [route for module in modules for route in module.routes]
        await Router(routes)(scope, receive, send)


@functools.cache
def _modules() -> list[ModuleType]:
    """Import the modules, without garbage collections, which leave out what torch and transformers consist of later.

    That is half a million objects, which live as long as the process. To search them takes a third of a second, in
    which nothing else runs, and the import alone would do it eight times.

    Returns:
        The modules.
    """
    gc.disable()
    try:
        modules = [import_module(name) for name in _ROUTES]
        gc.freeze()
    finally:
        gc.enable()
    return modules


async def _health(request: Request) -> JSONResponse:
    # The server is well on a full disk, where it answers whatever need not be stored: the status stays 200.
    if request.app.state.state.disk_is_full():
        return JSONResponse({"status": "disk_full", "message": "the disk is full: nothing new can be stored"})
    return JSONResponse({"status": "ok"})


routes = [
    Route("/health", _health, methods=["GET"]),
    *(Route(path, _LazyRoutes()) for path in ("/v1/chat/completions", "/v1/completions", "/v1/embeddings")),
    *(Route(f"/v1/responses{path}", _LazyRoutes()) for path in ("", *_OF_RESPONSE)),
    Route("/metrics", _LazyRoutes()),
]
