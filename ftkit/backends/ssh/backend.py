"""The SSH backend: the local backend of another machine."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import replace
from datetime import date
from pathlib import Path, PurePath
from typing import Any

from filelock import FileLock
from typing_extensions import override

from ftkit.arguments import check_kind
from ftkit.backends.own_model_backend import OwnModelBackend
from ftkit.backends.protocol import TrainingJob
from ftkit.backends.remote.answerer import RemoteAnswerer
from ftkit.backends.remote.job_description import describe_job
from ftkit.backends.remote.model_name import check_model_name
from ftkit.backends.ssh.environment import setup_commands
from ftkit.backends.ssh.remote_machine import RemoteMachine
from ftkit.backends.ssh.run_mirror import RunHandle, copy_events
from ftkit.backends.ssh.session import PATIENCE_S, session_with
from ftkit.backends.ssh.transfer import fetch_folder, send_file
from ftkit.data import Dataset
from ftkit.errors import HostError, RunError, RunNotFoundError
from ftkit.recipe import Recipe
from ftkit.results.plan import Estimate
from ftkit.store import OPEN_STATES, RunRecord, Store
from ftkit.store.run_lock import STARTING, is_locked
from ftkit.task import Task
from ftkit.training.strategies import check_sharding

__all__ = ["SSH"]

_MIN_INTERVAL_S = 0.2
_MAX_INTERVAL_S = 60.0


class SSH(OwnModelBackend):
    """Trains and answers on a machine that OpenSSH's client reaches, with the local backend of this very ftkit there.

    Training goes on when the connection is cut and when this process ends. Any process finds the run again by its id,
    copies what has happened, cancels and resumes it. ``run.model`` answers there; ``run.download(folder)`` fetches it.

    The client reads the user's ``~/.ssh/config``: names, keys, jump hosts. It verifies the host key and asks nothing,
    so ``ssh -o BatchMode=yes BOX true`` must work. No variable of this environment, and no key, is sent.

    On first use ftkit makes a Python environment there, with uv or else pip, and logs the commands before it runs them.

    Args:
        machine: ``"box"``, ``"me@box"`` or ``"me@box:2222"``: a name of ``~/.ssh/config``, or a host. Without ``model``
            both in one, as they follow ``ssh:`` in a backend's name: ``"me@box#Qwen/Qwen3-8B"``.
        model: the model's name there: a hub id, a folder there, ``"smollm2-135m"``, or the id of a run there.
        python: an interpreter there that has ftkit's dependencies (a path, or a name on the ``PATH``). ftkit then makes
            no environment.
        folder: ftkit's folder there, below the home folder unless it is absolute; ``.ftkit`` by default.
        config: another file for OpenSSH's client than ``~/.ssh/config``.
        workers: how many processes train together there, each on a GPU of its own; 1 by default.
        strategy: how they hold the model: ``"ddp"``, each all of it, or ``"fsdp2"``, each a part.
    """

    name = "ssh"

    def __init__(
        self,
        machine: str,
        model: str | None = None,
        *,
        python: str | os.PathLike[str] | None = None,
        folder: str | os.PathLike[str] | None = None,
        config: str | os.PathLike[str] | None = None,
        workers: int | None = None,
        strategy: str | None = None,
    ) -> None:
        if model is None:
            check_kind(machine, str, "machine", 'the machine and the model, like "me@box#Qwen/Qwen3-8B"')
            place, model = RemoteMachine.split(machine)
        else:
            place = RemoteMachine(machine)
            check_model_name(model, 'Write it like ft.SSH("me@box", "Qwen/Qwen3-8B")')
        path = None if config is None else str(Path(config).expanduser().absolute())
        given: dict[str, Any] = {
            "python": _path_there(python),
            "folder": _path_there(folder),
            "config": path,
            "workers": workers,
            "strategy": strategy,
        }
        self.machine = replace(place, **{name: value for name, value in given.items() if value is not None})
        self.model = f"{self.machine}#{model}"
        self._there = model
        self._session = session_with(replace(self.machine, workers=1, strategy="ddp"))
        self._next_look: dict[str, tuple[float, float]] = {}

    def __repr__(self) -> str:
        return f"SSH({str(self.machine)!r}, {self._there!r})"

    def setup_commands(self) -> list[str]:
        """Return the commands that make ftkit's environment there. They are run at the first use.

        Returns:
            Commands for ``sh``, in which ``$F`` is ftkit's folder there and ``$E`` the environment's.
        """
        return [] if self.machine.python is not None else setup_commands(self.machine)

    @override
    def check(self, recipe: Recipe, data: Dataset, validation: Dataset | None) -> None:
        check_sharding(self.machine.strategy, recipe, self.name)
        job = self._described(recipe, data, validation)
        self._session.call("check", model=self._there, job=job)

    @override
    def estimate(
        self, recipe: Recipe, data: Dataset, validation: Dataset | None, *, device: str | None = None
    ) -> Estimate:
        job = self._described(recipe, data, validation)
        check_sharding(self.machine.strategy, recipe, self.name)
        found = self._session.call(
            "estimate",
            model=self._there,
            job=job,
            device=device,
            workers=self.machine.workers,
            strategy=self.machine.strategy,
        )
        return Estimate.model_validate(found)

    def _described(self, recipe: Recipe, data: Dataset, validation: Dataset | None) -> dict[str, Any]:
        """Send the files of a job's rows, and describe it."""

        def send(file: Path, digest: str) -> None:
            send_file(self._session, file, digest)

        return describe_job(recipe, data, validation, send, backend=self.name, machine=self.machine.destination)

    @override
    def submit(self, job: TrainingJob, store: Store) -> None:
        job.save(store.run_folder(job.run_id), model=self._there, day=date.today().isoformat())
        with store.transaction(job.run_id) as run:
            RunHandle.new(str(self.machine)).save(run)
        self._send(job, store)

    def _send(self, job: TrainingJob, store: Store) -> None:
        """Send a job that is saved here; the machine starts it once, however often it is sent."""
        handle = RunHandle.of(store.get(job.run_id))
        if handle is None:
            raise RunError(f"run {job.run_id} was never meant for another machine")
        described = self._described(job.recipe, job.data, job.validation)
        try:
            self._session.call(
                "submit",
                run_id=job.run_id,
                key=handle.key,
                model=self._there,
                job=described,
                workers=self.machine.workers,
                strategy=self.machine.strategy,
            )
        except HostError as error:
            if not error.unsure:
                raise
            message = f"{error}. Whether the job was started is found out when the connection is up again"
            store.append(job.run_id, "warning", {"message": message})
            return
        with store.transaction(job.run_id) as run:
            (RunHandle.of(run.record) or handle).save(run, sent=True)

    @override
    def refresh(self, record: RunRecord, store: Store) -> None:
        due, interval = self._next_look.get(record.id, (0.0, _MIN_INTERVAL_S))
        if record.state not in OPEN_STATES or time.monotonic() < due:
            return
        handle = RunHandle.of(record)
        starting = is_locked(store.run_folder(record.id), STARTING)
        if starting and (handle is None or not handle.sent):
            return
        if handle is None:
            self._fail(record, store, "it was cut off before anything was sent; start it again with ft.train")
            return
        try:
            found = copy_events(self._session, record, store, patience_s=0.0)
        except HostError as error:
            self._next_look[record.id] = (time.monotonic() + interval, min(_MAX_INTERVAL_S, interval * 2))
            self._note_failure(record, store, error)
            return
        self._next_look[record.id] = (time.monotonic() + _MIN_INTERVAL_S, _MIN_INTERVAL_S)
        if not found:
            self._fail(
                record,
                store,
                f"{self.machine.destination} has no such run"
                + (
                    ": it was deleted there"
                    if handle.sent
                    else f"; nothing was started. `ftkit runs resume {record.id}` sends it again"
                ),
            )

    def _note_failure(self, record: RunRecord, store: Store, error: HostError) -> None:
        """Say once that the connection is down. Raise what trying again cannot help."""
        with store.transaction(record.id) as run:
            handle = RunHandle.of(run.record)
            if handle is not None and not handle.down:
                handle.save(run, down=True)
                run.append("warning", {"message": f"{error}; the run goes on there, and the connection is tried again"})
        if not error.passing:
            raise error

    def _fail(self, record: RunRecord, store: Store, reason: str) -> None:
        with store.transaction(record.id) as run:
            if run.record.state in OPEN_STATES:
                run.update(state="failed", error=reason, reason=reason, finished_at=time.time())
                run.append("error", {"message": reason})

    @override
    def resume(self, record: RunRecord, store: Store) -> None:
        folder = store.run_folder(record.id)
        handle = RunHandle.of(record)
        if handle is None or not (folder / "job.json").is_file():
            raise RunError(f"run {record.id} cannot be resumed: its job is gone from {folder}; start it again")
        with FileLock(folder / "send.lock"):
            there = self._session.call("resume", run_id=record.id, key=handle.key)
            again: dict[str, Any] = {"state": "queued", "error": None, "finished_at": None}
            store.update(record.id, expect=("failed", "cancelled"), reason="resumed", **again)
            if not there:
                try:
                    self._send(TrainingJob.saved(record, folder), store)
                except Exception as error:
                    self._fail(record, store, f"could not be sent: {error}")
                    raise
        self._next_look.pop(record.id, None)
        self.refresh(store.get(record.id), store)

    @override
    def cancel(self, record: RunRecord, store: Store) -> None:
        handle = RunHandle.of(record)
        if handle is not None:
            self._session.call("cancel", run_id=record.id, key=handle.key)
            copy_events(self._session, record, store, patience_s=PATIENCE_S)
        store.update(
            record.id, expect=OPEN_STATES, reason="cancelled by the user", state="cancelled", finished_at=time.time()
        )

    def delete_run(self, record: RunRecord) -> None:
        """Delete a run that has ended, with its files, on the other machine.

        Args:
            record: the run.
        """
        handle = RunHandle.of(record)
        if handle is not None:
            self._session.call("delete", run_id=record.id, key=handle.key, patience_s=0.0)

    @override
    def tuned_model(self, record: RunRecord, store: Store) -> str:
        return f"{self.machine}#{record.id}"

    def download(self, record: RunRecord, folder: Path) -> None:
        """Fetch the model of a succeeded run, so that ``"local:<folder>"`` is its model.

        What was fetched before the connection was cut is not fetched again, and every file has the digest that the
        machine gave.

        Args:
            record: the run.
            folder: a new or empty folder.

        Raises:
            RunError: the run was not sent to a machine, its model is gone, or the folder is not empty.
        """
        handle = RunHandle.of(record)
        if handle is None:
            raise RunError(f"run {record.id} was never sent to a machine")
        found = self._session.call("manifest", run_id=record.id, key=handle.key)
        fetch_folder(self._session, found["folder"], found["files"], folder.expanduser().absolute(), handle.key)

    @override
    def answerer(self) -> RemoteAnswerer:
        return RemoteAnswerer(self._session, self._there)

    @override
    def known_task(self) -> Task | None:
        with contextlib.suppress(RunNotFoundError):
            record = Store().get(self._there)
            if record.id == self._there and record.backend == self.name:
                return Task.model_validate(record.task)
        known = self._session.call("known_task", model=self._there)
        return None if known is None else Task.model_validate(known)


def _path_there(path: str | os.PathLike[str] | None) -> str | None:
    """A path of the other machine as a text, whose slashes are those of Unix."""
    return PurePath(path).as_posix() if isinstance(path, os.PathLike) else path
