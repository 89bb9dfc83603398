"""Notice a second job of one run, say so, and cancel the one that was created later."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ftkit.backends.hosted.host import Host, RemoteJob
from ftkit.backends.hosted.job_handle import JobHandle
from ftkit.backends.hosted.retry import RetryPolicy
from ftkit.errors import HostError
from ftkit.store import OPEN_STATES, RunRecord, Store

__all__ = ["keep_one_job"]

_FIRST_INTERVAL_S = 60.0
"""Shortest time between two checks of a job that was requested once, in seconds. Later intervals double."""


def keep_one_job(host: Host, retry_policy: RetryPolicy, record: RunRecord, job: RemoteJob, store: Store) -> RemoteJob:
    """Ask the host now and then whether a run has further jobs, and keep the first one.

    A second job is possible although ftkit asks for one: a proxy may repeat a request, and a host may list a job only
    after its settling time.

    Args:
        host: the host.
        retry_policy: its ``settle_s`` says when the first check is made of a job that was requested once.
        record: the run.
        job: its job, as it is now.
        store: the store of runs.

    Returns:
        The job that the run has from now on.
    """
    handle = JobHandle.require(record)
    if handle.asked_at is None:  # a run of an earlier version
        return job
    age_s = retry_policy.elapsed_s(handle.asked_at, handle.asked_boot)
    if not _is_due(handle, age_s, retry_policy.settle_s) or "job" in host.repeatable:
        return job
    try:
        found = host.find_jobs(handle.query(record.recipe["kind"]))
    except HostError as error:
        if error.passing:
            return job  # asked again at the next poll
        found = ()
    others = {other.id: other for other in found if other.id != job.id}
    kept = _first([job, *others.values()])
    changes: dict[str, Any] = {"checked_at": handle.asked_at + age_s}
    unwanted = [other for other in (job, *others.values()) if other.id != kept.id]
    events = [
        _cancel(host, retry_policy, other, kept)
        for other in unwanted
        if other.state in OPEN_STATES or other.id not in handle.duplicates
    ]
    if others:
        changes["duplicates"] = tuple(sorted({*handle.duplicates, job.id, *others} - {kept.id}))
    with store.transaction(record.id) as run:
        if kept.id != job.id:
            changes["job"] = kept.id
        JobHandle.require(run.record).save(run, **changes)
        for event in events:
            run.append("warning", event)
    return kept if kept.id == job.id else host.job(kept.id)


def _is_due(handle: JobHandle, age_s: float, settle_s: float) -> bool:
    if age_s < settle_s:
        return handle.requests > 1
    checked_s = None if handle.checked_at is None else handle.checked_at - (handle.asked_at or 0.0)
    return checked_s is None or checked_s < settle_s or age_s >= 2 * max(checked_s, _FIRST_INTERVAL_S)


def _first(jobs: Sequence[RemoteJob]) -> RemoteJob:
    """The job that was created first, of those that may still make a model. The run's own precedes others."""
    alive = [job for job in jobs if job.state in OPEN_STATES or job.state == "succeeded"]
    return min(alive or jobs[:1], key=lambda job: math.inf if job.created_at is None else job.created_at)


def _cancel(host: Host, retry_policy: RetryPolicy, job: RemoteJob, kept: RemoteJob) -> dict[str, Any]:
    """Cancel a job, and return the event that says so."""
    begin = f"the host has two jobs of this run: {kept.id} and {job.id}, which was created later"
    if job.state not in OPEN_STATES:
        return {"message": f"{begin} and has ended ({job.status}). The run has the first", "job": job.id}
    try:
        retry_policy(lambda: host.cancel(job.id))
    except HostError as error:
        message = f"{begin} and could not be cancelled ({error}). Cancel it at the host"
        return {"message": message, "job": job.id, "refusal": str(error)}
    return {"message": f"{begin} and is cancelled. The run has the first", "job": job.id}
