"""Calls to a vLLM server: JSON in, JSON out, within limits of size and time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, NoReturn

from ftkit.background import in_background
from ftkit.extras import require
from ftkit.inference.engine_error import EngineError
from ftkit.printable import printable

__all__ = ["VLLMClient", "refuse"]

_LARGEST_BODY = 16 * 1024 * 1024
_LARGEST_LINE = 4 * 1024 * 1024
_SHOWN_CHARACTERS = 2_000
_CALL_S = 60.0
_HEALTH_S = 5.0
_SILENCE_S = 600.0
"""How long a server may send nothing while it answers, in seconds."""
_UNREACHABLE = "the server of the model cannot be reached"
_FAILED = "the server of the model failed"


class VLLMClient:
    """Calls to one server, from any thread; :meth:`stream` from one event loop.

    Args:
        url: address of the server, without ``/v1``.
        key: API key, sent as a bearer token; None sends none.
        name: what the server is called in messages.
        connections: largest number of answers at a time.
    """

    def __init__(self, url: str, key: str | None, *, name: str, connections: int) -> None:
        self._httpx = require("httpx", extra="local", needed_for="the engine vllm")
        self.url, self.name, self._key = url.rstrip("/"), name, key
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        # A key goes to this address alone: no redirects, and no proxy for a server of this machine.
        local = self._httpx.URL(self.url).host in ("127.0.0.1", "localhost", "::1")
        self._options: dict[str, Any] = {
            "base_url": self.url,
            "headers": headers,
            "follow_redirects": False,
            "trust_env": not local,
            # An answer may be asked for the log-probabilities of its tokens while it is received.
            "limits": self._httpx.Limits(max_connections=2 * connections + 1, max_keepalive_connections=connections),
        }
        # Made once: reading the certificates takes longer than a call.
        self._verify: Any = self._httpx.create_ssl_context() if self.url.startswith("https:") else True
        self._async_client: Any = None

    def healthy(self) -> bool:
        """Ask whether the server is ready.

        Returns:
            Whether it is.
        """
        try:
            return self._send("GET", "/health", None, _HEALTH_S)[0] == 200
        except EngineError:
            return False

    def get(self, path: str) -> dict[str, Any]:
        """Read a JSON object.

        Args:
            path: path below the address.

        Returns:
            The object.

        Raises:
            EngineError: the call failed.
        """
        return self._object(path, *self._send("GET", path, None, _CALL_S))

    def post(self, path: str, body: dict[str, Any], *, timeout_s: float | None = None) -> dict[str, Any]:
        """Send a JSON object.

        Args:
            path: path below the address.
            body: the object.
            timeout_s: how long the server may take, in seconds; a minute by default.

        Returns:
            The object of the answer; empty if the answer is another text.

        Raises:
            EngineError: the call failed.
        """
        return self._object(path, *self._send("POST", path, body, timeout_s or _CALL_S), plain=True)

    async def stream(self, path: str, body: dict[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        """Send a JSON object, and receive server-sent events.

        Args:
            path: path below the address.
            body: the object.

        Yields:
            The object of each event, until the server says that it is done.

        Raises:
            EngineError: the call failed, or the answer broke off.
        """
        if self._async_client is None:
            timeout = self._httpx.Timeout(_SILENCE_S, connect=_CALL_S, pool=None)
            self._async_client = self._httpx.AsyncClient(timeout=timeout, verify=self._verify, **self._options)
        failed: str | None = None
        try:
            async with self._async_client.stream("POST", path, json=body) as response:
                if response.status_code != 200:
                    refuse(self.name, path, response.status_code, await self._bounded(response))
                async for data in _events(response, self.name):
                    if data == "[DONE]":
                        return
                    yield self._event(path, data)
        except self._httpx.HTTPError as error:
            failed = self._broken(path, error)
        # Outside of the except block: the library's error holds the request with its key.
        raise EngineError(failed or f"{self.name}: the answer of {path} broke off", _UNREACHABLE)

    async def aclose(self) -> None:
        """Close the connections of :meth:`stream`, in its event loop."""
        if self._async_client is not None:
            await self._async_client.aclose()

    def _send(self, method: str, path: str, body: dict[str, Any] | None, timeout_s: float) -> tuple[int, bytes]:
        # In an event loop, where a limit of time holds for all of a call: a server may send a byte a minute, and a time
        # limit of httpx is one of silence. And in a thread, because this one may run a loop already, as in a notebook.
        return in_background(
            lambda: asyncio.run(self._send_in_time(method, path, body, timeout_s)), "ftkit-vllm-call"
        ).result()

    async def _send_in_time(
        self, method: str, path: str, body: dict[str, Any] | None, timeout_s: float
    ) -> tuple[int, bytes]:
        failed = ""
        try:
            async with (
                asyncio.timeout(timeout_s),
                self._httpx.AsyncClient(timeout=timeout_s, verify=self._verify, **self._options) as client,
                client.stream(method, path, json=body) as response,
            ):
                content = bytearray()
                async for piece in response.aiter_bytes():
                    content += piece
                    if len(content) > _LARGEST_BODY:
                        raise EngineError(
                            f"{self.name}: the answer of {path} has more than {_LARGEST_BODY:,} bytes", _FAILED
                        )
                return response.status_code, bytes(content)
        except TimeoutError:
            failed = f"{self.name} has not answered {self.url}{path} within {timeout_s:g} s"
        except self._httpx.HTTPError as error:
            failed = self._broken(path, error)
        raise EngineError(failed, _UNREACHABLE)

    def _broken(self, path: str, error: Exception) -> str:
        return f"{self.name} cannot be reached at {self.url}{path}: {type(error).__name__}: {printable(str(error))}"

    def _object(self, path: str, status: int, content: bytes, *, plain: bool = False) -> dict[str, Any]:
        if status != 200:
            refuse(self.name, path, status, content)
        try:
            found = json.loads(content)
        except (ValueError, RecursionError):
            found = {} if plain else None
        if not isinstance(found, dict):
            if plain:
                return {}
            raise EngineError(
                f"{self.name}: the answer of {path} is no JSON object, so this is no vLLM server", _FAILED
            )
        return found

    async def _bounded(self, response: Any) -> bytes:
        content = bytearray()
        async for piece in response.aiter_bytes():
            content += piece
            if len(content) > _LARGEST_LINE:
                break
        return bytes(content)

    def _event(self, path: str, data: str) -> dict[str, Any]:
        try:
            event = json.loads(data)
        except (ValueError, RecursionError):
            event = None
        if not isinstance(event, dict):
            raise EngineError(f"{self.name}: an event of {path} is no JSON object: {printable(data[:200])}", _FAILED)
        if "error" in event:
            raise EngineError(f"{self.name}: {printable(_message(event)) or 'the answer failed'}", _FAILED)
        return event


def refuse(name: str, path: str, status: int, content: bytes) -> NoReturn:
    """Explain an answer that is no success.

    Args:
        name: what the server is called.
        path: path of the call.
        status: HTTP status.
        content: the body.

    Raises:
        EngineError: always, with what the server says. Clients of ours read that only if it is about their request.
    """
    try:
        said = _message(json.loads(content[:_LARGEST_LINE]))
    except (ValueError, RecursionError):
        said = content[:_SHOWN_CHARACTERS].decode("utf-8", "replace")
    said = printable(said)
    if status == 401:
        raise EngineError(f"{name} refuses the API key; set the one that it was started with ({said})", _FAILED)
    refused = status in (400, 413, 422)
    outward = f"{name} refuses the request: {said or 'without a reason'}" if refused else _FAILED
    message = f"{name} refuses {path} with status {status}: {said or 'without a reason'}"
    raise EngineError(message, outward, refused=refused)


def _message(body: Any) -> str:
    """What an error body of OpenAI's form, or of FastAPI's, says."""
    for key in ("error", "detail", "message"):
        if isinstance(body, dict) and key in body:
            return _message(body[key])
    return (body if isinstance(body, str) else json.dumps(body))[:_SHOWN_CHARACTERS]


async def _events(response: Any, name: str) -> AsyncIterator[str]:
    """The data of server-sent events, each of one line, as vLLM writes them."""
    rest = b""
    async for piece in response.aiter_bytes():
        *lines, rest = (rest + piece).split(b"\n")
        if len(rest) > _LARGEST_LINE:
            raise EngineError(f"{name}: an event has more than {_LARGEST_LINE:,} bytes", _FAILED)
        for line in lines:
            if line.startswith(b"data:"):
                yield line[5:].strip().decode("utf-8", "replace")
