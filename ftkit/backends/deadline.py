"""How long a call may take, and what is answered when it took longer."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace

from ftkit.error_text import Argument, ErrorText
from ftkit.errors import ConfigError
from ftkit.results.answer import Answer

__all__ = ["Deadline"]


@dataclass(frozen=True, slots=True)
class Deadline:
    """The moment at which a request is given up.

    Attributes:
        seconds: the time limit that the user gave.
        at: the moment, in seconds of :func:`time.monotonic`.
    """

    seconds: float
    at: float

    @classmethod
    def after(cls, seconds: float | None) -> Deadline | None:
        """Start a time limit now.

        Args:
            seconds: the time limit; None if there is none.

        Returns:
            The deadline; None without a limit.

        Raises:
            ConfigError: it is not a positive number.
        """
        if seconds is None:
            return None
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < math.inf:
            raise ConfigError(
                ErrorText(Argument("timeout", text="timeout"), f" must be a number of seconds above 0, not {seconds!r}")
            )
        return cls(float(seconds), time.monotonic() + seconds)

    @property
    def remaining_s(self) -> float:
        """Seconds that are left; 0 if the moment has passed."""
        return max(0.0, self.at - time.monotonic())

    def later(self, seconds: float) -> Deadline:
        """Return the deadline after a time that does not count.

        Args:
            seconds: the time.

        Returns:
            The later deadline.
        """
        return replace(self, at=self.at + seconds)

    def answer(self, latency_s: float, last_error: str | None = None) -> Answer:
        """Return what stands for the answer that did not come in time.

        Args:
            latency_s: how long it was waited for.
            last_error: why the last try failed.

        Returns:
            An answer whose request failed.
        """
        why = f"; the last try: {last_error}" if last_error else ""
        message = f"no answer within {self.seconds:g} s{why}"
        return Answer("", "error", 0, 0, latency_s, error=message, retry_after_s=0.0, timed_out=True)
