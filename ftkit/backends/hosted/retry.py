"""Trying again: how long, how often, and what never."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from ftkit.errors import HostError
from ftkit.extras import require

__all__ = ["Patience"]

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Patience:
    """How failing calls are tried again, and how often a job is looked at.

    Attributes:
        budget_s: seconds of waiting in all before a call is given up.
        longest_s: longest single wait; a ``retry-after`` of the host counts up to twice as much.
        poll_s: seconds between two looks at a job at first, and later.
        settle_s: how long a job whose creation was cut off is waited for before it counts as not created.
        sleep: waits so many seconds.
    """

    budget_s: float = 120.0
    longest_s: float = 20.0
    poll_s: tuple[float, float] = (2.0, 30.0)
    settle_s: float = 120.0
    sleep: Callable[[float], None] = time.sleep

    def __call__(self, call: Callable[[], Found]) -> Found:
        """What ``call`` returns; failures that may pass are tried again, with growing, jittered waits.

        Raises:
            HostError: it will not pass, or the budget is spent.
        """
        found: Found = _tenacity().Retrying(**self._terms(), sleep=self.sleep)(call)
        return found

    async def call_async(self, call: Callable[[], Awaitable[Found]]) -> Found:
        """As calling it, for a call that is awaited; waits without a thread."""

        async def sleep(seconds: float) -> None:
            if self.sleep is time.sleep:
                await asyncio.sleep(seconds)
            else:
                self.sleep(seconds)

        async def once() -> Found:
            return await call()

        found: Found = await _tenacity().AsyncRetrying(**self._terms(), sleep=sleep)(once)
        return found

    def _terms(self) -> dict[str, Any]:
        return {
            "retry": _tenacity().retry_if_exception(lambda error: isinstance(error, HostError) and error.passing),
            "wait": self._wait,
            "stop": lambda state: state.idle_for >= self.budget_s,
            "reraise": True,
        }

    def _wait(self, state: Any) -> float:
        error = state.outcome.exception()
        named = error.retry_after_s if isinstance(error, HostError) else None
        if named is not None:
            return float(min(named, 2 * self.longest_s)) + random.uniform(0, 0.25)  # noqa: S311  (jitter)
        most = min(self.longest_s, 0.5 * 2 ** (state.attempt_number - 1))
        return random.uniform(most / 2, most)  # noqa: S311


def _tenacity() -> Any:
    return require("tenacity", extra="openai", needed_for="calling a hosted API")
