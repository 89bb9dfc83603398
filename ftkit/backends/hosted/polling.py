"""When to poll a run's job: often at first, then more rarely, and more rarely still while its host is down."""

from __future__ import annotations

import logging
import time

from ftkit.backends.hosted.job_state import end_run
from ftkit.backends.hosted.retry import RetryPolicy
from ftkit.errors import HostError
from ftkit.store import RunRecord, Store

__all__ = ["PollSchedule", "report_failed_poll"]

_LOG = logging.getLogger("ftkit.hosts")
_MISSING_JOB_FAILURES = 3
"""Polls in a row in which the host does not know the job before the run fails."""
_MAX_INTERVAL_S = 300.0


class PollSchedule:
    """When each run is polled next, and how many polls in a row have failed.

    Args:
        retry_policy: its ``poll_s`` sets the intervals.
    """

    def __init__(self, retry_policy: RetryPolicy) -> None:
        self._retry_policy = retry_policy
        self._next: dict[str, tuple[float, int]] = {}

    def is_due(self, run_id: str) -> bool:
        """Return whether it is time to poll a run.

        Args:
            run_id: id of the run.

        Returns:
            Whether it is due.
        """
        return time.monotonic() >= self._next.get(run_id, (0.0, 0))[0]

    def record_success(self, record: RunRecord) -> None:
        """Note that a run was polled. The next interval grows with the run's age.

        Args:
            record: the run.
        """
        first, longest = self._retry_policy.poll_s
        age_s = time.time() - record.created_at
        self._next[record.id] = (time.monotonic() + min(longest, first + age_s / 60), 0)

    def record_failure(self, run_id: str, error: HostError) -> int:
        """Note that polling a run failed.

        Args:
            run_id: id of the run.
            error: the failure; its ``retry_after_s`` is respected.

        Returns:
            Number of failures in a row before this one.
        """
        failures = self._next.get(run_id, (0.0, 0))[1]
        interval_s = min(_MAX_INTERVAL_S, self._retry_policy.poll_s[1] * 2 ** min(failures, 4))
        self._next[run_id] = (time.monotonic() + max(interval_s, error.retry_after_s or 0.0), failures + 1)
        return failures

    def reset(self) -> None:
        """Make every run due."""
        self._next.clear()


def report_failed_poll(schedule: PollSchedule, record: RunRecord, error: HostError, store: Store) -> None:
    """Say that a run could not be polled, and end a run whose job the host no longer knows.

    Args:
        schedule: when the run is polled next.
        record: the run.
        error: why it could not be polled.
        store: the store of runs.

    Raises:
        HostError: the host does not take the key.
    """
    failures = schedule.record_failure(record.id, error)
    if not failures:
        message = f"{error}; the run continues and is polled again"
        store.append(record.id, "warning", {"message": message, "refusal": str(error)})
    elif failures == 1:
        _LOG.warning("run %s: %s. Polled twice; the run continues and is polled again", record.id, error)
    if not error.passing and error.status in (401, 403):
        raise error
    if failures < _MISSING_JOB_FAILURES or error.passing:
        return
    if record.handle.get("job") is None:
        reason = f"whether the host took the job cannot be found out: {error}. Look there before the run is resumed"
        end_run(record.id, store, "failed", reason)
    elif error.status == 404:
        end_run(record.id, store, "failed", f"the host no longer knows the job: {error}")
