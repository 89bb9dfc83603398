"""Limits of calls to a host: how many at the same time, and how many per minute."""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import TypeVar

__all__ = ["ConcurrencyLimiter", "RateLimiter"]

Result = TypeVar("Result")


class ConcurrencyLimiter:
    """Limits how many calls to a host run at the same time.

    Args:
        limit: number of calls at the same time: of one :meth:`map`, and of all coroutines of one event loop that hold
            :meth:`slot`.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._semaphores: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = (
            weakref.WeakKeyDictionary()
        )

    def map(
        self, call: Callable[[int], Result], count: int, *, on_stop: Callable[[], None] | None = None
    ) -> list[Result]:
        """Call a function for 0, 1, …, ``count - 1`` in threads.

        After an exception or Ctrl-C no further call begins; calls that run already end first.

        Args:
            call: the function.
            count: number of calls.
            on_stop: called before waiting for the calls that run already, so that they can be cut short.

        Returns:
            The results in order.
        """
        if count == 1:
            return [call(0)]
        with ThreadPoolExecutor(min(self.limit, count) or 1, thread_name_prefix="ftkit-host") as pool:
            futures: list[Future[Result]] = []
            try:
                futures += (pool.submit(call, index) for index in range(count))
                done, _ = wait(futures, return_when=FIRST_EXCEPTION)
                for future in futures:
                    if future in done and future.exception() is not None:
                        future.result()
            finally:
                if on_stop is not None:
                    on_stop()
                for future in futures:
                    future.cancel()
        return [future.result() for future in futures]

    def slot(self) -> asyncio.Semaphore:
        """Return the semaphore of the running event loop: ``async with limiter.slot(): …``.

        Returns:
            The semaphore that all coroutines of this loop share.
        """
        loop = asyncio.get_running_loop()
        if loop not in self._semaphores:
            self._semaphores[loop] = asyncio.Semaphore(self.limit)
        return self._semaphores[loop]


class RateLimiter:
    """Delays calls so that they keep to limits per minute. Shared by all threads.

    Args:
        requests_per_minute: calls begin no faster than this.
        tokens_per_minute: calls wait while the tokens of earlier calls exceed this.
    """

    def __init__(self, requests_per_minute: float | None = None, tokens_per_minute: float | None = None) -> None:
        self._seconds_per_request = 60 / requests_per_minute if requests_per_minute else 0.0
        self._seconds_per_token = 60 / tokens_per_minute if tokens_per_minute else 0.0
        self._next = time.monotonic()
        self._lock = threading.Lock()

    def wait(self, stopped: threading.Event) -> None:
        """Wait until the next call may begin.

        Args:
            stopped: ends the wait early.
        """
        with self._lock:
            now = time.monotonic()
            start = max(now, self._next)
            self._next = start + self._seconds_per_request
        if start > now:
            stopped.wait(start - now)

    def add_tokens(self, tokens: int) -> None:
        """Count the tokens of a call.

        Args:
            tokens: tokens of the request and of the answer.
        """
        if self._seconds_per_token:
            with self._lock:
                self._next = max(self._next, time.monotonic()) + tokens * self._seconds_per_token

    def pause(self, seconds: float) -> None:
        """Delay the calls of all threads, because the host refused one for now.

        Args:
            seconds: how long.
        """
        with self._lock:
            self._next = max(self._next, time.monotonic() + seconds)
