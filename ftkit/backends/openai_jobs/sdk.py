"""Calls through the official SDK: one attempt each, every failure as a :class:`~ftkit.errors.HostError`."""

from __future__ import annotations

import asyncio
import json
import weakref
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ftkit.backends.hosted.errors import broken, refused
from ftkit.errors import HostError
from ftkit.extras import require

__all__ = ["OnLoop", "Sdk", "plain"]

Found = TypeVar("Found")


class Sdk:
    """The SDK's client for one host, with retries off.

    Args:
        name: of the host, to begin messages with.
        url: base URL.
        key: goes into requests only.
        timeout_s: for one call.
    """

    def __init__(self, name: str, url: str, key: str, timeout_s: float = 120.0) -> None:
        openai = require("openai", extra="openai", needed_for=f"the backend {name}")
        self.name, self.url = name, url
        self._key = key
        self._openai: Any = openai
        # The SDK's own retries would create a job twice.
        self._options: dict[str, Any] = {"api_key": key, "base_url": url, "max_retries": 0, "timeout": timeout_s}
        self.client: Any = openai.OpenAI(**self._options)
        self._loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, OnLoop] = weakref.WeakKeyDictionary()

    def __repr__(self) -> str:
        return f"Sdk({self.name!r}, {self.url!r})"

    def call(self, doing: str, call: Callable[[], Found]) -> Found:
        """What ``call`` returns.

        Raises:
            HostError: it failed; says whether that may pass, and whether the host may have acted all the same.
        """
        try:
            return _whole(call())
        except Exception as error:
            told = self._told(doing, error)
        raise told  # out here, because the original holds the request, key included, and must not be its context

    async def call_async(self, doing: str, call: Awaitable[Found]) -> Found:
        """As :meth:`call`."""
        try:
            return _whole(await call)
        except Exception as error:
            told = self._told(doing, error)
        raise told

    def save(self, doing: str, opening: Any, target: Path) -> None:
        """Write the body of a streamed answer to ``target``, piece by piece."""

        def write() -> bool:
            with opening as answer:
                answer.stream_to_file(target)
            return True

        self.call(doing, write)

    def on_this_loop(self, concurrency: int) -> OnLoop:
        """The client of the running event loop, whose connections belong to it."""
        loop = asyncio.get_running_loop()
        if loop not in self._loops:
            self._loops[loop] = OnLoop(self._openai.AsyncOpenAI(**self._options), asyncio.Semaphore(concurrency))
        return self._loops[loop]

    def refused(self, doing: str, status: int, body: Any) -> HostError:
        """The error for a refusal that came inside of another answer, as those of a batch do."""
        return refused(doing, status, body, {}, host=self.name, secret=self._key)

    def _told(self, doing: str, error: Exception) -> Exception:
        openai = self._openai
        if isinstance(error, HostError):
            return error
        if isinstance(error, openai.APIStatusError):
            body = error.body if error.body is not None else error.response.text
            return refused(doing, error.status_code, body, error.response.headers, host=self.name, secret=self._key)
        if isinstance(error, openai.APITimeoutError):
            return broken(doing, "it took too long", host=self.name, secret=self._key)
        if isinstance(error, openai.APIConnectionError):
            cause = error.__cause__
            return broken(doing, str(cause or error), host=self.name, secret=self._key)
        if isinstance(error, openai.OpenAIError | json.JSONDecodeError | _NotWholeError):
            return broken(doing, f"{type(error).__name__}: {error}", host=self.name, secret=self._key)
        if type(error).__module__.split(".")[0] in ("httpx", "httpcore", "httpx2", "httpcore2"):
            return broken(doing, f"{type(error).__name__}: {error}", host=self.name, secret=self._key)
        if _raised_in(error) == "openai":  # which trips over answers that are no JSON object
            return broken(doing, "it is no JSON object", host=self.name, secret=self._key)
        return error


def _raised_in(error: Exception) -> str:
    """The package whose code raised it."""
    step = error.__traceback__
    while step is not None and step.tb_next is not None:
        step = step.tb_next
    return "" if step is None else str(step.tb_frame.f_globals.get("__name__", "")).partition(".")[0]


@dataclass(frozen=True, slots=True)
class OnLoop:
    """What calls on one event loop share."""

    client: Any
    turn: asyncio.Semaphore
    """Held by who is asking; as many at once as the concurrency."""


class _NotWholeError(Exception):
    """An answer that is no object."""


def _whole(found: Found) -> Found:
    if isinstance(found, str) or found is None:  # what the SDK makes of a body that is no JSON
        raise _NotWholeError("the answer is no JSON object")
    return found


def plain(found: Any) -> dict[str, Any]:
    """An object of the SDK as plain data, extra fields included.

    Raises:
        HostError: it is none.
    """
    if isinstance(found, dict):
        return found
    if not hasattr(found, "to_dict"):
        raise HostError("the host sent no JSON object", passing=True, unsure=True)
    data: dict[str, Any] = found.to_dict(mode="json", warnings=False)
    return data
