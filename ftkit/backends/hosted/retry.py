"""The retry policy of every call to a host, and of the requests of an evaluation."""

from __future__ import annotations

import asyncio
import dataclasses
import random
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from ftkit.backends.hosted.retry_notice import OnRetry, RetryNotice, log_retry
from ftkit.backends.hosted.settling import Boot, boot_time, elapsed_s
from ftkit.errors import HostError
from ftkit.extras import require

__all__ = ["MAX_PAID_REPEATS", "PaidCalls", "Patience", "RetryPolicy"]

MAX_PAID_REPEATS = 2
"""How often a paid call is repeated after failures that leave open whether the host has answered and charged."""
_MAY_BE_CHARGED = (
    "the host may have answered and charged all the same; it is asked again, "
    f"{'twice' if MAX_PAID_REPEATS == 2 else f'{MAX_PAID_REPEATS} times'} at most"
)


class PaidCalls:
    """Counts calls that were sent again although the host may have charged for the first ones.

    Attributes:
        repeated: how many were sent again.
    """

    def __init__(self) -> None:
        self.repeated = 0
        self._lock = threading.Lock()

    def add(self) -> None:
        """Count one."""
        with self._lock:
            self.repeated += 1


Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How failing calls are retried, and how often a job is polled.

    Attributes:
        budget_s: total waiting time in seconds after which a call is given up. Only a wait that the host asks for goes
            beyond it.
        longest_s: longest wait between two attempts, in seconds. A ``retry-after`` of the host may be twice as long.
        poll_s: seconds between two polls of a job, for a new job and at most.
        settle_s: how long, in seconds, what was created by a call of unknown outcome may take to appear in the host's
            lists. After that it counts as not created.
        sleep: function that waits the given number of seconds.
        clock: function that returns the present time in Unix seconds.
        boot: function that returns the time since the machine's start, see :mod:`ftkit.backends.hosted.settling`.
        on_retry: called when a call has failed twice, and before the wait for what a call of unknown outcome may have
            created.
    """

    budget_s: float = 120.0
    longest_s: float = 20.0
    poll_s: tuple[float, float] = (2.0, 30.0)
    settle_s: float = 120.0
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.time
    boot: Callable[[], Boot | None] = boot_time
    on_retry: OnRetry = log_retry

    def __call__(
        self,
        call: Callable[[], Result],
        *,
        repeat_unsure: bool = True,
        deadline: float | None = None,
        paid: PaidCalls | None = None,
    ) -> Result:
        """Call a function until it succeeds, with exponential backoff and jitter between attempts.

        Args:
            call: makes one attempt.
            repeat_unsure: whether the call is repeated after a failure that leaves open whether the host has carried it
                out. False for calls that create something.
            deadline: moment in seconds of :func:`time.monotonic` after which no further attempt begins.
            paid: counts repeats of calls that cost money each time, which are few.

        Returns:
            What ``call`` returns.

        Raises:
            HostError: the error is not transient, or the waiting time is used up.
        """
        options = self._tenacity_options(repeat_unsure=repeat_unsure, deadline=deadline, paid=paid)
        result: Result = _tenacity().Retrying(**options, sleep=self.sleep)(call)
        return result

    def elapsed_s(self, asked_at: float, asked_boot: Boot | None) -> float:
        """Return how long ago a request was sent, by this process or another one.

        Args:
            asked_at: what ``clock`` returned then.
            asked_boot: what ``boot`` returned then.

        Returns:
            Seconds, whatever the wall clock was set to since.
        """
        return elapsed_s(asked_at, asked_boot, self.clock(), self.boot())

    def unsettled_s(self, asked_at: float | None, asked_boot: Boot | None) -> float:
        """Return for how long what a request created may still appear in the host's lists.

        Args:
            asked_at: what ``clock`` returned when the request was sent; None if none was.
            asked_boot: what ``boot`` returned then.

        Returns:
            Seconds from now on, 0 to ``settle_s``.
        """
        return 0.0 if asked_at is None else max(0.0, self.settle_s - self.elapsed_s(asked_at, asked_boot))

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

    async def call_async(
        self,
        call: Callable[[], Awaitable[Result]],
        *,
        deadline: float | None = None,
        paid: PaidCalls | None = None,
    ) -> Result:
        """Await a function until it succeeds; as calling the policy, but without blocking the event loop.

        Args:
            call: makes one attempt.
            deadline: moment in seconds of :func:`time.monotonic` after which no further attempt begins.
            paid: counts repeats of calls that cost money each time, which are few.

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

        options = self._tenacity_options(deadline=deadline, paid=paid)
        result: Result = await _tenacity().AsyncRetrying(**options, sleep=sleep)(attempt)
        return result

    def _tenacity_options(
        self, *, repeat_unsure: bool = True, deadline: float | None = None, paid: PaidCalls | None = None
    ) -> dict[str, Any]:
        perhaps_paid = 0

        def is_repeated(error: BaseException) -> bool:
            nonlocal perhaps_paid
            if not isinstance(error, HostError) or not error.passing or (error.unsure and not repeat_unsure):
                return False
            if paid is not None and error.may_have_answered:
                perhaps_paid += 1
            return perhaps_paid <= MAX_PAID_REPEATS

        def notify(state: Any) -> None:
            error = state.outcome.exception()
            if paid is not None and error.may_have_answered:
                paid.add()
                self.on_retry(RetryNotice(str(error), state.attempt_number, self.clock(), _MAY_BE_CHARGED))
            elif state.attempt_number == 2:
                until = self.clock() + max(0.0, self.budget_s - state.idle_for)
                self.on_retry(RetryNotice(str(error), state.attempt_number, until))

        def is_over(state: Any) -> bool:
            late = (
                deadline is not None and time.monotonic() + (getattr(state, "upcoming_sleep", None) or 0.0) >= deadline
            )
            return late or bool(state.idle_for >= self.budget_s)

        return {
            "retry": _tenacity().retry_if_exception(is_repeated),
            "wait": self._wait,
            "stop": is_over,
            "before_sleep": notify,
            "reraise": True,
        }

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
        asked_s = error.retry_after_s if isinstance(error, HostError) else None
        delay_s = self.delay_s(state.attempt_number, asked_s)
        # Less than the host asks for would be refused again, so only the backoff is cut to the rest of the budget.
        return delay_s if asked_s else min(delay_s, max(0.0, self.budget_s - float(state.idle_for)))


Patience = RetryPolicy
"""The name of :class:`RetryPolicy` in version 0.1."""


def _tenacity() -> Any:
    return require("tenacity", extra="openai", needed_for="calling a hosted API")
