"""Say that a call to a host is repeated: which one, why, and until when."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["OnRetry", "RetryNotice", "clock_time", "log_retry"]

_LOG = logging.getLogger("ftkit.hosts")
_INTERVAL_S = 60.0
_REQUEST_ID_PATTERN = re.compile(r" \[request [^\]]*\]")
_MAX_REMEMBERED = 1000
_TRYING_AGAIN = "trying again until {until}"


@dataclass(frozen=True, slots=True)
class RetryNotice:
    """A call to a host that failed and is repeated.

    Attributes:
        error: why it failed, in the host's words.
        tries: number of tries so far.
        until: when it is given up, in Unix seconds.
        plan: what is done until then; ``{until}`` stands for the time of day.
    """

    error: str
    tries: int
    until: float
    plan: str = _TRYING_AGAIN

    def __str__(self) -> str:
        times = "once" if self.tries == 1 else f"{self.tries} times"
        return f"{self.error.rstrip('.')}. Tried {times}; {self.plan.format(until=clock_time(self.until))}"


OnRetry = Callable[[RetryNotice], None]


def clock_time(at: float) -> str:
    """Format Unix seconds as the local time of day.

    Args:
        at: Unix seconds.

    Returns:
        Hours, minutes and seconds.
    """
    return time.strftime("%H:%M:%S", time.localtime(at))


class _Log:
    """Logs notices. Many requests fail at once when a host is down, so the same failure is said once a minute."""

    def __init__(self) -> None:
        self._said: dict[str, float] = {}
        self._lock = threading.Lock()

    def __call__(self, notice: RetryNotice) -> None:
        failure, now = _REQUEST_ID_PATTERN.sub("", notice.error), time.monotonic()
        seldom = notice.plan == _TRYING_AGAIN or "{until}" not in notice.plan
        with self._lock:
            if seldom and now - self._said.get(failure, -_INTERVAL_S) < _INTERVAL_S:
                return
            if len(self._said) >= _MAX_REMEMBERED:
                self._said.clear()
            self._said[failure] = now
        _LOG.warning("%s", notice)


log_retry: OnRetry = _Log()
"""Write a notice to the logger ``ftkit.hosts``, which prints it on standard error unless the program says otherwise."""
