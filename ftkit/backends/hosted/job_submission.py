"""Submit a run's job to its host exactly once, however often the submission is interrupted."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

from ftkit.backends.hosted.host import Host, JobRequest, RemoteJob
from ftkit.backends.hosted.idempotency import create_once, search_until_settled
from ftkit.backends.hosted.job_handle import JobHandle, update_handle
from ftkit.backends.hosted.job_state import check_host_estimate, end_run
from ftkit.backends.hosted.retry import RetryPolicy
from ftkit.backends.hosted.retry_events import last_refusal, retry_events
from ftkit.backends.hosted.training_files import TrainingFiles
from ftkit.errors import HostError, RefusedError, RunError
from ftkit.store import OPEN_STATES, RunRecord, Store
from ftkit.store.file_lock import try_lock
from ftkit.store.run_lock import STARTING, is_locked

__all__ = ["JobSubmission", "fail_if_abandoned", "run_lock"]

_MAX_START_S = 10.0
"""How long a run may be in the store before its submission begins, in seconds, where there are no locks."""

BuildRequest = Callable[[RunRecord, dict[str, str], str], dict[str, Any]]
"""Returns the request that creates a run's job, from the run, the ids of its files and its key."""


class JobSubmission:
    """Submits the jobs of runs at one host.

    Args:
        host: the host.
        retry_policy: how failing calls are retried.
        store: the store of runs.
        files: uploads and deletes the files of runs.
        build_request: returns the request that creates a job.
    """

    def __init__(
        self, host: Host, retry_policy: RetryPolicy, store: Store, files: TrainingFiles, build_request: BuildRequest
    ) -> None:
        self._host, self._retry_policy, self._store = host, retry_policy, store
        self._build_request = build_request
        self.files = files

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
        retry_policy = self._retry_policy.saying(retry_events(self._store, run_id))
        job = None
        if handle.phase == "creating":  # a request may have been sent: search for the job before creating one
            search = search_until_settled(
                retry_policy, lambda: self._first(run_id, kind), self._unsettled_s(handle, retry_policy)
            )
            job = search.found
            if not search.certain:
                self._say_unconfirmed(run_id, search.error)
                return
        else:
            job = self._search_first(run_id, kind, retry_policy)
        if job is None:
            files = self.files.with_policy(retry_policy)
            file_ids = files.upload_all(record)
            handle = JobHandle.require(self._store.get(run_id))
            body = self._build_request(record, file_ids, handle.key)
            request = JobRequest(handle.key, body, kind, handle.extra, handle.own_file)

            def create() -> RemoteJob:
                # Before each attempt, so that the settling time is counted from the last one, whoever dies meanwhile.
                with self._store.transaction(run_id) as run:
                    sent = JobHandle.require(run.record).requests
                    JobHandle.require(run.record).save(
                        run,
                        phase="creating",
                        asked_at=retry_policy.clock(),
                        asked_boot=retry_policy.boot(),
                        requests=sent + 1,
                    )
                return self._host.create_job(request)

            try:
                check_host_estimate(self._host, retry_policy, request, self._store.get(run_id), self._store)
                job = create_once(
                    retry_policy,
                    create,
                    lambda: self._first(run_id, kind),
                    repeatable="job" in self._host.repeatable,
                )
            except (HostError, RefusedError):
                # Nothing was created, so the files that were uploaded for the job are deleted.
                update_handle(self._store, run_id, phase="uploading", asked_at=None, asked_boot=None)
                files.delete_all(self._store.get(run_id))
                raise
        if job is None:
            self._say_unconfirmed(run_id, None)
            return
        self._attach(run_id, job)

    def _search_first(self, run_id: str, kind: str, retry_policy: RetryPolicy) -> RemoteJob | None:
        """Search for a job before the first request, e.g. one that an earlier submission gave up too soon.

        This also checks that the host can be asked, because after a lost response nobody could else tell whether there
        is a job. Nothing has been sent yet, so a failure leaves nothing behind.

        Returns:
            The job; None if there is none, or the host has no list of jobs.

        Raises:
            HostError: it cannot be asked now, or does not take the key.
        """
        try:
            return retry_policy(lambda: self._first(run_id, kind))
        except HostError as error:
            if error.passing or error.status in (401, 403):
                raise
            return None

    def _first(self, run_id: str, kind: str) -> RemoteJob | None:
        """The job of a run that was created first; None if there is none."""
        jobs = self._host.find_jobs(JobHandle.require(self._store.get(run_id)).query(kind))
        return jobs[0] if jobs else None

    def _unsettled_s(self, handle: JobHandle, retry_policy: RetryPolicy) -> float:
        """How many seconds after now a request that was sent may still create the job."""
        if "job" in self._host.repeatable:
            return 0.0
        return retry_policy.unsettled_s(handle.asked_at, handle.asked_boot)

    def _say_unconfirmed(self, run_id: str, error: HostError | None) -> None:
        message = "the host did not confirm the job; ftkit will search for it"
        refusal = {} if error is None else {"refusal": str(error)}
        self._store.append(run_id, "warning", {"message": message} | refusal)

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
            may_appear = self._unsettled_s(handle, self._retry_policy) > 0  # read before the host is asked
            job = self._first(record.id, record.recipe["kind"])
            if job is not None:
                self._attach(record.id, job)
                return job
            if not may_appear:
                self.files.delete_all(record)
                refusal = last_refusal(self._store, record.id)
                reason = (
                    "its submission was cut off before the host took the job, so nothing was started or charged; "
                    f"`ftkit runs resume {record.id}` submits it again"
                ) + ("" if refusal is None else f". The host's last refusal: {refusal[1]}")
                end_run(record.id, self._store, "failed", reason)
        return None

    def existing_jobs(self, record: RunRecord) -> list[str]:
        """Return the ids of a run's jobs. Search for them if the creation was not confirmed, or asked for twice.

        Args:
            record: the run.

        Returns:
            The ids, that of the run's own job first; empty if there is no job.

        Raises:
            RunError: the job may still appear.
        """
        handle = JobHandle.of(record)
        if handle is None:
            return []
        known = [] if handle.job is None else [handle.job]
        if known and handle.requests <= 1:
            return known
        jobs = self._retry_policy(lambda: self._host.find_jobs(handle.query(record.recipe["kind"])))
        if not known and not jobs and self._unsettled_s(handle, self._retry_policy) > 0:
            raise RunError(f"run {record.id} is just being submitted; cancel it again in a moment")
        return [*known, *(job.id for job in jobs if job.id not in known and job.state in OPEN_STATES)]

    def _attach(self, run_id: str, job: RemoteJob) -> None:
        with self._store.transaction(run_id) as run:
            JobHandle.require(run.record).save(run, phase="created", job=job.id)
            if job.lost_key is not None:
                run.append("warning", {"message": f"the job {job.id} came back {job.lost_key}"})
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
    starting = is_locked(store.run_folder(record.id), STARTING)
    if starting or (starting is None and abs(time.time() - record.created_at) < _MAX_START_S):
        return
    with try_lock(store.run_folder(record.id)) as locked:
        if locked and JobHandle.of(store.get(record.id)) is None:
            reason = "it was cut off before anything was sent, so nothing was charged; start it again with ft.train"
            end_run(record.id, store, "failed", reason)
