"""When runs are looked at: often at first, seldom later, and seldomer while their host is down."""

from __future__ import annotations

import time

from ftkit.backends.hosted.retry import Patience
from ftkit.errors import HostError
from ftkit.store import RunRecord

__all__ = ["Looks"]

_LONGEST_S = 300.0


class Looks:
    """When each run is due, and how often in a row it could not be looked at."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._held: dict[str, tuple[float, int]] = {}

    def due(self, run_id: str) -> bool:
        """Whether it is time to look at the run."""
        return time.monotonic() >= self._held.get(run_id, (0.0, 0))[0]

    def seen(self, record: RunRecord) -> None:
        """It was looked at."""
        first, later = self._patience.poll_s
        age = time.time() - record.created_at
        self._held[record.id] = (time.monotonic() + min(later, first + age / 60), 0)

    def failed(self, run_id: str, error: HostError) -> int:
        """It could not be looked at; how often that has been so before in a row."""
        failures = self._held.get(run_id, (0.0, 0))[1]
        wait = min(_LONGEST_S, self._patience.poll_s[1] * 2 ** min(failures, 4))
        self._held[run_id] = (time.monotonic() + max(wait, error.retry_after_s or 0.0), failures + 1)
        return failures

    def forget(self) -> None:
        """Look at every run anew."""
        self._held.clear()
