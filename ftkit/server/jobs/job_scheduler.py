"""The queue of fine-tuning jobs: start their runs, follow them, and record how they end.

All state is in the server's tables and the store of runs, so a server that was killed continues where it stopped. A
run's worker is a separate process and continues in the meantime.
"""

from __future__ import annotations

import functools
import logging
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from filelock import FileLock, Timeout

from ftkit import runs
from ftkit.backends.local import LocalBackend
from ftkit.errors import ConfigError, FtkitError, RunNotFoundError, StorageError
from ftkit.runs import Run
from ftkit.server.files.file_table import FileTable
from ftkit.server.jobs.event_messages import translate_events
from ftkit.server.jobs.job_record import JobError, JobRecord
from ftkit.server.jobs.job_table import JobEvent, JobTable
from ftkit.server.jobs.recipe import job_recipe
from ftkit.server.jobs.result_file import RESULTS_PURPOSE, write_results
from ftkit.server.jobs.row_validation import validate_rows
from ftkit.server.jobs.training_rows import InvalidFileError, job_rows
from ftkit.server.settings import Settings
from ftkit.server.state import State
from ftkit.server.workers import WorkerPool
from ftkit.store import OPEN_STATES, RunRecord

__all__ = ["MAX_CHECKPOINTS", "JobScheduler"]

MAX_CHECKPOINTS = 3
"""Epochs whose models are kept as checkpoints, as at OpenAI."""

_POLL_S = 0.3
_CLEANUP_S = 300.0
_MAX_RESTARTS = 3
_VALIDATORS, _VALIDATOR_BYTES, _VALIDATION_S = 2, 16 * 2**30, 6 * 3600.0
"""Processes that validate rows, the memory of each, and the time that the rows of a job may take."""

_log = logging.getLogger("ftkit.server")


class JobScheduler:
    """Runs the jobs of one home folder in a background thread.

    Args:
        settings: number of concurrent jobs, and the fields of their recipes.
        state: the server's tables.
        jobs: the table of jobs.
        files: the table of files.
        workers: where what clients sent is read.
    """

    def __init__(self, settings: Settings, state: State, jobs: JobTable, files: FileTable, workers: WorkerPool) -> None:
        self._workers, self._validators = workers, WorkerPool(_VALIDATORS, _VALIDATOR_BYTES)
        self._settings, self._state, self._jobs, self._files = settings, state, jobs, files
        self._changed, self._stopped, self._draining = threading.Event(), False, False
        self._cleaned_at = time.monotonic()
        self._tasks: dict[str, Future[None]] = {}
        self._pool = ThreadPoolExecutor(4, "ftkit-jobs")
        self._thread = threading.Thread(target=self._run, name="ftkit-job-scheduler")
        self._lock = FileLock(state.folder / "lock", thread_local=False)

    def acquire(self) -> None:
        """Lock the home folder, so that no second server runs the same jobs.

        Raises:
            ConfigError: another server holds the lock.
        """
        try:
            self._lock.acquire(blocking=False)
        except Timeout:
            raise ConfigError(
                f"another server uses {self._state.store.folder}; stop it, or set FTKIT_HOME to another folder"
            ) from None

    def start(self) -> None:
        """Lock the home folder and start the thread."""
        self.acquire()
        self._thread.start()

    def wake(self) -> None:
        """Check the jobs now, because one has changed."""
        self._changed.set()

    @property
    def draining(self) -> bool:
        """The server is about to stop."""
        return self._draining or self._stopped

    def drain(self) -> None:
        """Start no further runs, because the server is about to stop. Safe in a signal handler."""
        self._draining = True

    def stop(self) -> None:
        """Stop the thread when its current tasks are done. Workers continue."""
        self._stopped = True
        self._changed.set()
        self._thread.join()
        self._validators.close()  # a validation that is interrupted begins again at the next start
        self._pool.shutdown()
        self._lock.release(force=True)

    def _run(self) -> None:
        while not self._stopped:
            self._changed.wait(_POLL_S)
            self._changed.clear()
            try:
                self._check_jobs()
            except FtkitError as error:  # a full disk or a locked store may be temporary
                _log.error("checking the jobs: %s", error)
                self._changed.wait(1.0)
            except Exception:
                _log.exception("checking the jobs")
                self._changed.wait(1.0)

    def _check_jobs(self) -> None:
        self._tasks = {job_id: task for job_id, task in self._tasks.items() if not task.done()}
        jobs = self._jobs.active()
        taken = sum(job.status == "running" or job.stopping for job in jobs)
        for job in jobs:
            if job.status == "validating_files":
                taken += 1  # jobs start in the order in which they were created, however long their validation takes
            if job.id in self._tasks:
                taken += job.status == "queued"  # its validation has just ended, and it is the next to start
                continue
            if job.stopping:
                self._submit(job, self._stop_run)
            elif job.status == "validating_files":
                self._submit(job, self._validate)
            elif self._draining and (job.starting or job.status == "queued"):
                continue
            elif job.starting and job.status == "running":  # a server died before it started the run
                self._submit(job, self._start)
            elif job.status == "running":
                self._follow(job)
            elif job.status == "queued" and taken < self._settings.concurrent_jobs:
                taken += 1
                if self._update_if(job, "queued", status="running", starting=True):
                    self._submit(job, self._start)
        if time.monotonic() - self._cleaned_at > _CLEANUP_S:
            self._cleaned_at = time.monotonic()
            self._validators.end_idle()
            self._clean_up()

    def _clean_up(self) -> None:
        """Delete expired files, and the rows of ended jobs whose file was deleted.

        Until then `ftkit export` and the probes of an evaluation can read the rows.
        """
        self._files.delete_expired()
        needed = {job.id for job in self._jobs.active()} | self._files.jobs_with_files()
        folder = self._state.job_folder("x").parent
        for rows in folder.iterdir() if folder.is_dir() else ():
            if rows.name not in needed and time.time() - rows.stat().st_mtime > _CLEANUP_S:
                shutil.rmtree(rows, ignore_errors=True)

    def _submit(self, job: JobRecord, action: Callable[[JobRecord], None]) -> None:
        def guarded() -> None:
            try:
                action(job)
            except InvalidFileError as error:
                self._fail(job, error.error)
            except (OSError, StorageError) as error:  # a full disk
                _log.error("job %s: %s; trying again", job.id, error)
                time.sleep(1.0)
            except FtkitError as error:
                self._fail(job, JobError(code="training_refused", message=self._without_paths(str(error))))
            except Exception:
                _log.exception("job %s", job.id)
                self._fail(job, JobError(code="server_error", message="The server had an error; its log says more."))
            self.wake()

        self._tasks[job.id] = self._pool.submit(guarded)

    def _validate(self, job: JobRecord) -> None:
        work = functools.partial(validate_rows, self._settings, job, self._state.job_folder(job.id))
        resolved = self._validators.run_for(_VALIDATION_S, work)
        event = JobEvent("Files validated, moving job to queued state")
        self._update_if(job, "validating_files", event, status="queued", resolved=resolved)

    def _start(self, job: JobRecord) -> None:
        """Start or resume the run of a job. Calling it twice is harmless."""
        self._start_run(job)
        self._jobs.update(job.id, lambda now: {"starting": False})

    def _start_run(self, job: JobRecord) -> None:
        store = self._state.store
        try:
            record = store.get(job.id)
            if record.state in ("failed", "cancelled") and not (store.run_folder(job.id) / "job.json").is_file():
                runs.delete(job.id)  # the server died before it started the worker
                raise RunNotFoundError(job.id)
        except RunNotFoundError:
            training, validation = job_rows(self._state, job)
            parallel = self._settings.concurrent_jobs
            backend = LocalBackend(job.source, epoch_models=MAX_CHECKPOINTS, max_parallel=parallel)
            recipe = self._workers.run(job_recipe, self._settings, job)
            # The rows were linted when they were validated.
            runs.train(recipe, training, backend=backend, validation=validation, lint=False, run_id=job.id)
            return
        if record.state in ("failed", "cancelled"):
            Run(record, store).resume()

    def _stop_run(self, job: JobRecord) -> None:
        """Stop the run of a job that was cancelled or paused."""
        store = self._state.store
        try:
            run = Run(store.get(job.id), store).cancel()
        except RunNotFoundError:
            pass
        else:
            self._add_events(job, ended=run.state not in OPEN_STATES)
        self._jobs.update(job.id, lambda now: {"stopping": False})

    def _follow(self, job: JobRecord) -> None:
        """Add the new events of a job's run, and record its end."""
        store = self._state.store
        try:
            record = Run(store.get(job.id), store).record
        except RunNotFoundError:
            self._fail(job, JobError(code="run_deleted", message="The job's run was deleted on the server."))
            return
        ended = record.state not in OPEN_STATES
        self._add_events(job, ended=ended)
        if ended:
            self._finish(job, record)

    def _add_events(self, job: JobRecord, *, ended: bool) -> None:
        """Translate the run's new events into events of the job."""
        events = self._state.store.events(job.id, job.last_seq)
        if not events:
            return
        has_checkpoint = any("kept_epoch" in event.data for event in events)
        earlier = {data["step"]: data for data in self._jobs.metrics(job.id)} if has_checkpoint else {}
        update = translate_events(job, events, earlier, ended=ended)
        for step, at, metrics in update.checkpoints:
            self._jobs.add_checkpoint(job.id, step, at, metrics, MAX_CHECKPOINTS)

        def change(now: JobRecord) -> dict[str, Any] | None:
            # Nothing may follow the event that says that the job was cancelled.
            return update.changes if now.last_seq == job.last_seq and now.status != "cancelled" else None

        self._jobs.update(job.id, change, update.events)

    def _finish(self, job: JobRecord, record: RunRecord) -> None:
        """Record how a run has ended; queue the job again if its worker was killed."""
        now = int(record.finished_at or time.time())
        if record.state == "succeeded":
            # The file's id follows from the job's, so that a second call leaves one file.
            results, path = f"file-{job.id.removeprefix('ftjob-')}", self._files.new_path()
            path.parent.mkdir(mode=0o700, exist_ok=True)
            write_results(path, job.method, self._jobs.metrics(job.id))
            self._files.add(job.project, "step_metrics.csv", RESULTS_PURPOSE, path, file_id=results)
            events = (
                JobEvent(f"New fine-tuned model created: {job.tuned_name}"),
                JobEvent("The job has successfully completed"),
            )
            tokens = record.summary.get("tokens")
            self._update_if(
                job,
                "running",
                *events,
                status="succeeded",
                finished_at=now,
                trained_tokens=tokens,
                result_files=[results],
            )
        elif record.state == "cancelled" and record.handle.get("cancelled"):  # with `ftkit runs cancel`
            self._update_if(job, "running", JobEvent("Fine-tuning job cancelled"), status="cancelled", finished_at=now)
        elif record.state == "cancelled":  # by a signal, e.g. when the machine shuts down
            event = JobEvent("The job's process was terminated; the job resumes where it stopped", "warn")
            self._update_if(job, "running", event, status="queued")
        elif record.handle.get("died") and job.deaths < _MAX_RESTARTS:
            event = JobEvent("The job's process was killed; the job resumes from its newest checkpoint", "warn")
            self._update_if(job, "running", event, status="queued", deaths=job.deaths + 1)
        else:
            self._fail(
                job, JobError(code="training_failed", message=self._without_paths(record.error or "no reason given"))
            )

    def _fail(self, job: JobRecord, error: JobError) -> None:
        failed = {"status": "failed", "error": error, "finished_at": int(time.time())}
        self._jobs.update(
            job.id,
            lambda now: failed if now.status in ("validating_files", "running") else None,
            [JobEvent(error.message, "error")],
        )

    def _update_if(self, job: JobRecord, expect: str, *events: JobEvent, **changes: Any) -> bool:
        """Update the job if it still has the status ``expect``; return whether it had."""
        done = False

        def change(now: JobRecord) -> dict[str, Any] | None:
            nonlocal done
            done = now.status == expect
            return changes if done else None

        self._jobs.update(job.id, change, events)
        return done

    def _without_paths(self, message: str) -> str:
        """Hide this machine's home folder from clients."""
        return message.replace(str(self._state.store.folder), "$FTKIT_HOME")
