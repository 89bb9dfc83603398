"""Run the application with uvicorn: limits and graceful shutdown."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import Callable
from types import FrameType

import uvicorn
from starlette.applications import Starlette

from ftkit.errors import ConfigError
from ftkit.server.app import create_app
from ftkit.server.auth import ApiKeys
from ftkit.server.settings import Settings
from ftkit.server.slow_clients import header_timeout_protocol
from ftkit.server.state import State
from ftkit.store import Store

__all__ = ["serve"]

_MAX_HEADER_BYTES = 64 * 1024
_CLOSE_S = 5
"""Seconds between the error that a stopping server sends and the end of the connection."""


def serve(settings: Settings, on_ready: Callable[[str], None] = lambda address: None) -> None:
    """Serve until SIGINT or SIGTERM.

    The server then finishes the answers in progress. Runs continue in their worker processes. After SIGTERM the process
    exits with status 0.

    Args:
        settings: the server's settings.
        on_ready: called with the server's URL when it accepts connections.

    Raises:
        ConfigError: another server uses the same home folder, the address is not available, or other machines can
            reach the server and there are no API keys.
    """
    if not settings.loopback and not ApiKeys(State(Store())).required():
        raise ConfigError(
            f"other machines can reach {settings.host}, so the server needs API keys; create one with "
            "`ftkit serve keys create PROJECT`"
        )
    # uvicorn raises the signal again after its shutdown; a requested shutdown is not a failure.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    listener = _listen(settings)
    app = create_app(settings)
    app.state.scheduler.acquire()
    host, port = listener.getsockname()[:2]
    config = uvicorn.Config(
        app,
        http=header_timeout_protocol(settings.body_patience_s),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=settings.max_connections,
        h11_max_incomplete_event_size=_MAX_HEADER_BYTES,
        timeout_graceful_shutdown=settings.shutdown_patience_s + _CLOSE_S,
    )
    netloc = f"[{host}]" if ":" in host else host
    _Server(config, app, lambda: on_ready(f"http://{netloc}:{port}")).run(sockets=[listener])


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, app: Starlette, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._app, self._ready = app, ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._app.state.scheduler.drain()
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Shut down; answers that take too long get an error before their connections are closed."""
        timer = asyncio.ensure_future(self._end_answers())
        try:
            await super().shutdown(sockets)
        finally:
            timer.cancel()

    async def _end_answers(self) -> None:
        await asyncio.sleep(self._app.state.settings.shutdown_patience_s)
        if (serving := self._app.state.loaded) is not None:
            await serving.close()


def _listen(settings: Settings) -> socket.socket:
    try:
        addresses = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = addresses[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        raise ConfigError(f"cannot listen on {settings.host}:{settings.port}: {error.strerror or error}") from None
    return listener
