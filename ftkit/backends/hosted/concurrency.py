"""The concurrency limit of calls to a host."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TypeVar

__all__ = ["ConcurrencyLimiter"]

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
            futures = [pool.submit(call, index) for index in range(count)]
            try:
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
