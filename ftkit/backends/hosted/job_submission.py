"""Submit a run's job to its host exactly once, however often the submission is interrupted."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

from ftkit.backends.hosted.concurrency import ConcurrencyLimiter
from ftkit.backends.hosted.host import Host, JobRequest, RemoteJob
from ftkit.backends.hosted.idempotency import create_once
from ftkit.backends.hosted.job_handle import JobHandle, update_handle
from ftkit.backends.hosted.job_state import check_host_estimate, end_run
from ftkit.backends.hosted.retry import RetryPolicy
from ftkit.backends.hosted.training_files import TrainingFiles
from ftkit.errors import HostError, RefusedError, RunError
from ftkit.store import RunRecord, Store
from ftkit.store.file_lock import try_lock

__all__ = ["JobSubmission", "fail_if_abandoned", "run_lock"]

_MAX_START_S = 10.0
"""How long a run may be in the store before its submission begins, in seconds."""

BuildRequest = Callable[[RunRecord, dict[str, str], str], dict[str, Any]]
"""Returns the request that creates a run's job, from the run, the ids of its files and its key."""


class JobSubmission:
    """Submits the jobs of runs at one host.

    Args:
        host: the host.
        backend: name of the backend.
        retry_policy: how failing calls are retried.
        limiter: how many files are uploaded at the same time.
        store: the store of runs.
        build_request: returns the request that creates a job.
    """

    def __init__(
        self,
        host: Host,
        backend: str,
        retry_policy: RetryPolicy,
        limiter: ConcurrencyLimiter,
        store: Store,
        build_request: BuildRequest,
    ) -> None:
        self._host, self._retry_policy, self._store = host, retry_policy, store
        self._build_request = build_request
        self.files = TrainingFiles(host, backend, retry_policy, limiter, store)

    def run(self, record: RunRecord) -> None:
        """Submit a run's job, from whatever an interrupted submission has done.

        The caller holds the run's lock. If the outcome stays unknown, the run stays ``queued`` and the next poll
        searches for the job.

        Args:
            record: the run, which has a handle.

        Raises:
            HostError: the host refused, and nothing was created.
            RefusedError: the job would cost too much.
        """
        run_id, kind = record.id, record.recipe["kind"]
        handle = JobHandle.require(record)
        job = None
        if handle.phase == "creating":  # a request may have been sent: search for the job before creating one
            job = self._retry_policy(lambda: self._host.find_job(handle.key, kind))
        if job is None:
            file_ids = self.files.upload_all(record)
            body = self._build_request(record, file_ids, handle.key)
            request = JobRequest(handle.key, body, kind, handle.extra)
            try:
                check_host_estimate(self._host, self._retry_policy, request, self._store.get(run_id), self._store)
                update_handle(self._store, run_id, phase="creating", asked_at=time.time())
                job = create_once(
                    self._retry_policy,
                    lambda: self._host.create_job(request),
                    lambda: self._host.find_job(handle.key, kind),
                )
            except (HostError, RefusedError):
                # Nothing was created, so the files that were uploaded for the job are deleted.
                update_handle(self._store, run_id, phase="uploading", asked_at=None)
                self.files.delete_all(self._store.get(run_id))
                raise
        if job is None:
            message = "the host did not confirm the job; ftkit will search for it"
            self._store.append(run_id, "warning", {"message": message})
            return
        self._attach(run_id, job)

    def find(self, record: RunRecord) -> RemoteJob | None:
        """Return a run's job. Search for it if the submission was interrupted, and fail the run if there is none.

        Args:
            record: the run, which has a handle.

        Returns:
            The job; None if there is none, or another process is submitting it.
        """
        handle = JobHandle.require(record)
        if handle.job is not None:
            return self._host.job(handle.job)
        with try_lock(self._store.run_folder(record.id)) as locked:
            if not locked:
                return None
            record = self._store.get(record.id)
            handle = JobHandle.require(record)
            if handle.job is not None:
                return self._host.job(handle.job)
            job = self._host.find_job(handle.key, record.recipe["kind"])
            if job is not None:
                self._attach(record.id, job)
                return job
            if not self._may_appear(handle):
                self.files.delete_all(record)
                reason = (
                    "its submission was cut off before the host took the job, so nothing was started or charged; "
                    f"`ftkit runs resume {record.id}` submits it again"
                )
                end_run(record.id, self._store, "failed", reason)
        return None

    def existing_job(self, record: RunRecord) -> str | None:
        """Return the id of a run's job. Search for it if its creation was not confirmed.

        Args:
            record: the run.

        Returns:
            The id; None if there is no job.

        Raises:
            RunError: the job may still appear.
        """
        handle = JobHandle.of(record)
        if handle is None or handle.job is not None:
            return None if handle is None else handle.job
        job = self._retry_policy(lambda: self._host.find_job(handle.key, record.recipe["kind"]))
        if job is None and self._may_appear(handle):
            raise RunError(f"run {record.id} is just being submitted; cancel it again in a moment")
        return None if job is None else job.id

    def _may_appear(self, handle: JobHandle) -> bool:
        """Whether a request that was sent may still create the job of a run without one."""
        return handle.asked_at is not None and time.time() - handle.asked_at < self._retry_policy.settle_s

    def _attach(self, run_id: str, job: RemoteJob) -> None:
        with self._store.transaction(run_id) as run:
            JobHandle.require(run.record).save(run, phase="created", job=job.id)
            if job.state == "running" and run.record.state == "queued":
                run.update(state="running")


@contextlib.contextmanager
def run_lock(run_id: str, store: Store) -> Iterator[None]:
    """Hold the lock of a run's submission.

    Args:
        run_id: id of the run.
        store: the store of runs.

    Yields:
        Nothing, while the lock is held.

    Raises:
        RunError: another process is submitting the run.
    """
    with try_lock(store.run_folder(run_id)) as locked:
        if not locked:
            raise RunError(f"run {run_id} is being submitted already")
        yield


def fail_if_abandoned(record: RunRecord, store: Store) -> None:
    """End a run that was never sent to the host if no process is submitting it any more.

    Args:
        record: a run without a handle.
        store: the store of runs.
    """
    if time.time() - record.created_at < _MAX_START_S:
        return
    with try_lock(store.run_folder(record.id)) as locked:
        if locked and JobHandle.of(store.get(record.id)) is None:
            reason = "it was cut off before anything was sent, so nothing was charged; start it again with ft.train"
            end_run(record.id, store, "failed", reason)
