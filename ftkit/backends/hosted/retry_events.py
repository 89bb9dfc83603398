"""Keep in a run's events what its host refused, so that ``ftkit runs show`` has the last refusal."""

from __future__ import annotations

from ftkit.backends.hosted.retry_notice import OnRetry, RetryNotice
from ftkit.store import Store

__all__ = ["last_refusal", "retry_events"]


def retry_events(store: Store, run_id: str) -> OnRetry:
    """Return what receives the notices of a retry policy and adds them to a run as warnings.

    Args:
        store: the store of runs.
        run_id: id of the run.

    Returns:
        The receiver.
    """

    def append(notice: RetryNotice) -> None:
        data = {"message": str(notice), "refusal": notice.error, "tries": notice.tries, "until": notice.until}
        store.append(run_id, "warning", data)

    return append


def last_refusal(store: Store, run_id: str) -> tuple[float, str] | None:
    """Return what the host of a run refused last.

    Args:
        store: the store of runs.
        run_id: id of the run.

    Returns:
        When, in Unix seconds, and the error; None if it has refused nothing.
    """
    refusals = [event for event in store.events(run_id) if event.data.get("refusal")]
    return (refusals[-1].at, str(refusals[-1].data["refusal"])) if refusals else None
