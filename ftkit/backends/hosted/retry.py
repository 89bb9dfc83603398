"""The retry policy of every call to a host, and of the requests of an evaluation."""

from __future__ import annotations

import asyncio
import dataclasses
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from ftkit.backends.hosted.retry_notice import OnRetry, RetryNotice, log_retry
from ftkit.errors import HostError
from ftkit.extras import require

__all__ = ["Patience", "RetryPolicy"]

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How failing calls are retried, and how often a job is polled.

    Attributes:
        budget_s: total waiting time in seconds after which a call is given up.
        longest_s: longest wait between two attempts, in seconds. A ``retry-after`` of the host may be twice as long.
        poll_s: seconds between two polls of a job, for a new job and at most.
        settle_s: how long, in seconds, what was created by a call of unknown outcome may take to appear in the host's
            lists. After that it counts as not created.
        sleep: function that waits the given number of seconds.
        clock: function that returns the present time in Unix seconds.
        on_retry: called when a call has failed twice, and before the wait for what a call of unknown outcome may have
            created.
    """

    budget_s: float = 120.0
    longest_s: float = 20.0
    poll_s: tuple[float, float] = (2.0, 30.0)
    settle_s: float = 120.0
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.time
    on_retry: OnRetry = log_retry

    def __call__(
        self, call: Callable[[], Result], *, repeat_unsure: bool = True, deadline: float | None = None
    ) -> Result:
        """Call a function until it succeeds, with exponential backoff and jitter between attempts.

        Args:
            call: makes one attempt.
            repeat_unsure: whether the call is repeated after a failure that leaves open whether the host has carried it
                out. False for calls that create something.
            deadline: moment in seconds of :func:`time.monotonic` after which no further attempt begins.

        Returns:
            What ``call`` returns.

        Raises:
            HostError: the error is not transient, or the waiting time is used up.
        """
        options = self._tenacity_options(repeat_unsure=repeat_unsure, deadline=deadline)
        result: Result = _tenacity().Retrying(**options, sleep=self.sleep)(call)
        return result

    def saying(self, on_retry: OnRetry) -> RetryPolicy:
        """Return this policy with a further receiver of its notices.

        Args:
            on_retry: receives them too.

        Returns:
            The policy.
        """
        first = self.on_retry

        def both(notice: RetryNotice) -> None:
            first(notice)
            on_retry(notice)

        return dataclasses.replace(self, on_retry=both)

    async def call_async(self, call: Callable[[], Awaitable[Result]], *, deadline: float | None = None) -> Result:
        """Await a function until it succeeds; as calling the policy, but without blocking the event loop.

        Args:
            call: makes one attempt.
            deadline: moment in seconds of :func:`time.monotonic` after which no further attempt begins.

        Returns:
            What ``call`` returns.

        Raises:
            HostError: the error is not transient, or the waiting time is used up.
        """

        async def sleep(seconds: float) -> None:
            if self.sleep is time.sleep:
                await asyncio.sleep(seconds)
            else:
                self.sleep(seconds)

        async def attempt() -> Result:
            return await call()

        options = self._tenacity_options(deadline=deadline)

        result: Result = await _tenacity().AsyncRetrying(**options, sleep=sleep)(attempt)
        return result

    def _tenacity_options(self, *, repeat_unsure: bool = True, deadline: float | None = None) -> dict[str, Any]:
        def is_repeated(error: BaseException) -> bool:
            return isinstance(error, HostError) and error.passing and (repeat_unsure or not error.unsure)

        def is_over(state: Any) -> bool:
            late = deadline is not None and time.monotonic() + (state.upcoming_sleep or 0.0) >= deadline
            return late or bool(state.idle_for >= self.budget_s)

        return {
            "retry": _tenacity().retry_if_exception(is_repeated),
            "wait": self._wait,
            "stop": is_over,
            "before_sleep": self._notify,
            "reraise": True,
        }

    def _notify(self, state: Any) -> None:
        if state.attempt_number == 2:
            until = self.clock() + max(0.0, self.budget_s - state.idle_for)
            self.on_retry(RetryNotice(str(state.outcome.exception()), state.attempt_number, until))

    def delay_s(self, attempt: int, retry_after_s: float | None = None) -> float:
        """Return how long to wait before the next attempt.

        Args:
            attempt: number of attempts so far, from 1.
            retry_after_s: seconds that the host asks to wait.

        Returns:
            Seconds: what the host asks for, else an exponential backoff. Both have jitter, so that many callers do not
            retry at the same moment.
        """
        if retry_after_s:
            return float(min(retry_after_s, 2 * self.longest_s)) + random.uniform(0, 0.25)  # noqa: S311  (jitter)
        longest = min(self.longest_s, 0.5 * 2 ** (attempt - 1))
        return random.uniform(longest / 2, longest)  # noqa: S311

    def _wait(self, state: Any) -> float:
        error = state.outcome.exception()
        return self.delay_s(state.attempt_number, error.retry_after_s if isinstance(error, HostError) else None)


Patience = RetryPolicy
"""The name of :class:`RetryPolicy` in version 0.1."""


def _tenacity() -> Any:
    return require("tenacity", extra="openai", needed_for="calling a hosted API")
