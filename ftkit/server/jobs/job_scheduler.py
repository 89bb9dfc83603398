"""The queue: takes jobs from one status to the next, and finds them again after any crash.

All that it knows is in the two stores, so a server that was killed goes on where it was. Workers are processes of their
own and go on by themselves meanwhile.
"""

from __future__ import annotations

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
from ftkit.errors import ConfigError, FtkitError, RunNotFoundError
from ftkit.recipe import RecipeFacts
from ftkit.runs import Run
from ftkit.server.files.file_table import FileTable
from ftkit.server.jobs.event_messages import numbers, translate_events
from ftkit.server.jobs.job_record import JobError, JobRecord
from ftkit.server.jobs.job_table import JobTable, Told
from ftkit.server.jobs.recipe import job_recipe
from ftkit.server.jobs.result_file import RESULTS_PURPOSE, write_results
from ftkit.server.jobs.training_rows import InvalidFileError, job_rows
from ftkit.server.settings import Settings
from ftkit.server.state import State
from ftkit.store import OPEN_STATES, RunRecord

__all__ = ["MAX_CHECKPOINTS", "JobScheduler"]

MAX_CHECKPOINTS = 3
"""Epochs whose models stay as checkpoints; as many as OpenAI keeps."""

_LOOK_S = 0.3
_SWEEP_S = 300.0
_MOST_DEATHS = 3
_NAMELESS_S = 15.0
"""How long a run may be without a process after the server began: a worker that was just started says so sooner."""

_log = logging.getLogger("ftkit.server")


class JobScheduler:
    """Looks after the jobs of one home, from a thread of its own.

    Args:
        settings: how many jobs train at once, and with which recipe.
        state: the server's tables.
        jobs, files: views of them.
    """

    def __init__(self, settings: Settings, state: State, jobs: JobTable, files: FileTable) -> None:
        self._settings, self._state, self._jobs, self._files = settings, state, jobs, files
        self._awake, self._ended, self._resting = threading.Event(), False, False
        self._began = self._swept = time.time()
        self._work: dict[str, Future[None]] = {}
        self._pool = ThreadPoolExecutor(4, "ftkit-jobs")
        self._thread = threading.Thread(target=self._run, name="ftkit-job-scheduler")
        self._lock = FileLock(state.folder / "lock", thread_local=False)

    def claim(self) -> None:
        """Make sure that no other server looks after the same jobs.

        Raises:
            ConfigError: another one does.
        """
        try:
            self._lock.acquire(blocking=False)
        except Timeout:
            raise ConfigError(
                f"another server uses {self._state.store.folder}; stop it, or set FTKIT_HOME to another folder"
            ) from None

    def start(self) -> None:
        """Begin. Raises as :meth:`claim`."""
        self.claim()
        self._thread.start()

    def wake(self) -> None:
        """Look at once, because something has changed."""
        self._awake.set()

    def rest(self) -> None:
        """Start no further worker: the server is about to end. To be called from a signal's handler."""
        self._resting = True

    def stop(self) -> None:
        """End, after what is under way in this process; workers go on."""
        self._ended = True
        self._awake.set()
        self._thread.join()
        self._pool.shutdown()
        self._lock.release(force=True)

    def _run(self) -> None:
        while not self._ended:
            self._awake.wait(_LOOK_S)
            self._awake.clear()
            try:
                self._look()
            except FtkitError as error:  # a full disk, a locked store: it may pass
                _log.error("looking after the jobs: %s", error)
                self._awake.wait(1.0)
            except Exception:
                _log.exception("looking after the jobs")
                self._awake.wait(1.0)

    def _look(self) -> None:
        self._work = {name: one for name, one in self._work.items() if not one.done()}
        jobs = self._jobs.active()
        training = sum(job.status == "running" or job.stopping for job in jobs)
        for job in jobs:
            if job.id in self._work:
                continue
            if job.stopping:
                self._do(job, self._end_run)
            elif job.status == "validating_files":
                self._do(job, self._validate)
            elif self._resting and (job.starting or job.status == "queued"):
                continue
            elif job.starting and job.status == "running":  # by a server that died before it had done so
                self._do(job, self._start)
            elif job.status == "running":
                self._follow(job)
            elif job.status == "queued" and training < self._settings.concurrent_jobs:
                training += 1
                if self._changed(job, "queued", status="running", starting=True):
                    self._do(job, self._start)
        if time.time() - self._swept > _SWEEP_S:
            self._swept = time.time()
            self._sweep()

    def _sweep(self) -> None:
        """Delete what nothing needs any more: files whose time has come, rows of jobs that have ended and whose file
        was deleted. Until then `ftkit export` and probes find them."""
        self._files.sweep()
        needed = {job.id for job in self._jobs.active()} | self._files.jobs_with_files()
        folder = self._state.job_folder("x").parent
        for rows in folder.iterdir() if folder.is_dir() else ():
            if rows.name not in needed and time.time() - rows.stat().st_mtime > _SWEEP_S:
                shutil.rmtree(rows, ignore_errors=True)

    def _do(self, job: JobRecord, action: Callable[[JobRecord], None]) -> None:
        def guarded() -> None:
            try:
                action(job)
            except InvalidFileError as error:
                self._fail(job, error.error)
            except FtkitError as error:
                self._fail(job, JobError(code="training_refused", message=self._plain(str(error))))
            except OSError as error:
                _log.error("job %s: %s; it is tried again", job.id, error)
                time.sleep(1.0)
            except Exception:
                _log.exception("job %s", job.id)
                self._fail(job, JobError(code="server_error", message="The server had an error; its log says more."))
            self.wake()

        self._work[job.id] = self._pool.submit(guarded)

    def _validate(self, job: JobRecord) -> None:
        training, _ = job_rows(self._state, job, check=True)
        recipe = job_recipe(self._settings, job)
        resolved = recipe.resolve(RecipeFacts(rows=len(training))).model_dump()
        told = Told("Files validated, moving job to queued state")
        self._changed(job, "validating_files", told, status="queued", resolved=numbers(job, resolved))

    def _start(self, job: JobRecord) -> None:
        """Start the run of a job, or go on with the one it has. Doing it twice does no harm."""
        self._start_run(job)
        self._jobs.update(job.id, lambda now: {"starting": False})

    def _start_run(self, job: JobRecord) -> None:
        store = self._state.store
        try:
            record = store.get(job.id)
            if record.state in ("failed", "cancelled") and not (store.run_folder(job.id) / "job.json").is_file():
                runs.delete(job.id)  # the server died before it could start the worker
                raise RunNotFoundError(job.id)
        except RunNotFoundError:
            training, validation = job_rows(self._state, job, check=False)
            backend = LocalBackend(job.source, epoch_models=MAX_CHECKPOINTS)
            recipe = job_recipe(self._settings, job)
            # The rows were checked already, when the job was new.
            runs.train(recipe, training, backend=backend, validation=validation, lint=False, run_id=job.id)
            return
        if record.state in ("failed", "cancelled"):
            Run(record, store).resume()

    def _end_run(self, job: JobRecord) -> None:
        """End the run of a job that was cancelled or paused."""
        store = self._state.store
        try:
            run = Run(store.get(job.id), store).cancel()
        except RunNotFoundError:
            pass
        else:
            self._tell(job, ended=run.state not in OPEN_STATES)
        self._jobs.update(job.id, lambda now: {"stopping": False})

    def _follow(self, job: JobRecord) -> None:
        """Tell what has happened in a job's run."""
        store = self._state.store
        try:
            record = Run(store.get(job.id), store).record
        except RunNotFoundError:
            self._fail(job, JobError(code="run_deleted", message="The job's run was deleted on the server."))
            return
        nameless = record.state == "queued" and "pid" not in record.handle
        if nameless and time.time() - max(self._began, record.created_at) > _NAMELESS_S:
            dead = record.handle | {"died": True}
            record = store.update(job.id, expect=("queued",), state="failed", error="never started", handle=dead)
        ended = record.state not in OPEN_STATES
        self._tell(job, ended=ended)
        if ended:
            self._settle(job, record)

    def _tell(self, job: JobRecord, *, ended: bool) -> None:
        """Tell the client what has happened since the last time."""
        events = self._state.store.events(job.id, job.last_seq)
        if not events:
            return
        kept = any("kept_epoch" in event.data for event in events)
        known = {data["step"]: data for data in self._jobs.metrics(job.id)} if kept else {}
        found = translate_events(job, events, known, ended=ended)
        for step, at, figures in found.checkpoints:
            self._jobs.add_checkpoint(job.id, step, at, figures, MAX_CHECKPOINTS)
        self._jobs.update(job.id, lambda now: found.changes if now.last_seq == job.last_seq else None, found.told)

    def _settle(self, job: JobRecord, record: RunRecord) -> None:
        """Take over how a run has ended."""
        now = int(record.finished_at or time.time())
        if record.state == "succeeded":
            # Its id follows from the job's, so that doing this twice leaves one file.
            results, place = f"file-{job.id.removeprefix('ftjob-')}", self._files.place()
            place.parent.mkdir(mode=0o700, exist_ok=True)
            write_results(place, job.method, self._jobs.metrics(job.id))
            self._files.add(job.project, "step_metrics.csv", RESULTS_PURPOSE, place, file_id=results)
            told = (
                Told(f"New fine-tuned model created: {job.tuned_name}"),
                Told("The job has successfully completed"),
            )
            tokens = record.summary.get("tokens")
            self._changed(
                job,
                "running",
                *told,
                status="succeeded",
                finished_at=now,
                trained_tokens=tokens,
                result_files=[results],
            )
        elif record.state == "cancelled" and record.handle.get("cancelled"):  # from outside, with `ftkit runs cancel`
            self._changed(job, "running", Told("Fine-tuning job cancelled"), status="cancelled", finished_at=now)
        elif record.state == "cancelled":  # by a signal, as when the machine is shut down
            told_why = Told("The job's process was told to end; the job goes on from where it stopped", "warn")
            self._changed(job, "running", told_why, status="queued")
        elif record.handle.get("died") and job.deaths < _MOST_DEATHS:
            told_why = Told("The job's process was killed; the job goes on from its newest checkpoint", "warn")
            self._changed(job, "running", told_why, status="queued", deaths=job.deaths + 1)
        else:
            self._fail(job, JobError(code="training_failed", message=self._plain(record.error or "no reason given")))

    def _fail(self, job: JobRecord, error: JobError) -> None:
        failed = {"status": "failed", "error": error, "finished_at": int(time.time())}
        self._jobs.update(
            job.id,
            lambda now: failed if now.status in ("validating_files", "running") else None,
            [Told(error.message, "error")],
        )

    def _changed(self, job: JobRecord, expect: str, *told: Told, **changes: Any) -> bool:
        """Whether the job was still in the status ``expect``, and so was changed."""
        done = False

        def change(now: JobRecord) -> dict[str, Any] | None:
            nonlocal done
            done = now.status == expect
            return changes if done else None

        self._jobs.update(job.id, change, told)
        return done

    def _plain(self, message: str) -> str:
        """A message without this machine's folders, which are no matter of a client's."""
        return message.replace(str(self._state.store.folder), "$FTKIT_HOME")
