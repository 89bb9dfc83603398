"""Handles on runs: the same for a worker process here and a job elsewhere."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ftkit.backends import Backend, backend_of
from ftkit.data import Dataset
from ftkit.errors import FtkitError, RunCancelledError, RunError, RunFailedError
from ftkit.model import Model
from ftkit.recipe import Recipe, parse_recipe
from ftkit.runs.progress_display import RunProgress
from ftkit.store import OPEN_STATES, Event, RunRecord, RunState, Store
from ftkit.task import Task

__all__ = ["Run"]

_POLL_S = 0.25


class Run:
    """A training run. Durable: its id finds it again from any process, see :func:`ftkit.runs.get`."""

    def __init__(
        self, record: RunRecord, store: Store, backend: Backend | None = None, task: Task | None = None
    ) -> None:
        self.id = record.id
        self._store = store
        self._record = record
        self._backend = backend
        self._task = task

    def __repr__(self) -> str:
        return f"Run({self.id!r}, {self._record.backend}:{self._record.model}, {self.state})"

    @property
    def record(self) -> RunRecord:
        """All that is known of the run, up to date."""
        record = self._store.get(self.id)
        if record.state in OPEN_STATES:
            self._bound().refresh(record, self._store)
            record = self._store.get(self.id)
        self._record = record
        return record

    @property
    def state(self) -> RunState:
        """``queued``, ``running``, ``succeeded``, ``failed`` or ``cancelled``."""
        return self.record.state

    @property
    def recipe(self) -> Recipe:
        """The recipe as it was given."""
        return parse_recipe(self._record.recipe)

    @property
    def task(self) -> Task:
        """The task it trains for."""
        return self._task or Task.model_validate(self._record.task)

    @property
    def folder(self) -> Path:
        """Where the run's files are on this machine: job, log, and the model of a local run."""
        return self._store.run_folder(self.id)

    def training_data(self) -> Dataset | None:
        """The rows it is trained on; ``None`` when they can no longer be read as they were."""
        job = self.folder / "job.json"
        try:
            data = Dataset.from_spec(json.loads(job.read_text(encoding="utf-8"))["data"])
        except (OSError, FtkitError):
            return None
        return data

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """The steps so far: loss, learning rate, gradient norm, tokens, seconds. A step done again counts once."""
        steps = {event.data["step"]: event.data for event in self.events() if event.kind == "step"}
        return [steps[number] for number in sorted(steps)]

    @property
    def model(self) -> Model:
        """The tuned model.

        Raises:
            RunFailedError, RunCancelledError: there is none.
            RunError: the run goes on; call :meth:`wait` first.
        """
        record = self._ended(self.record)
        backend = self._bound()
        return Model(f"{backend.name}:{backend.tuned_model(record, self._store)}", self.task)

    def download(self, folder: str | Path) -> Model:
        """Fetch the weights that a host made and gives out: the tuned model, answering on this machine.

        Args:
            folder: new or empty; ``"local:<folder>"`` names the model from then on. An adapter needs its base model,
                which is looked for where the backend ``local`` looks.

        Raises:
            RunFailedError, RunCancelledError: there is no model.
            RunError: the run goes on, its model is here already, its host gives no weights out, or ``folder`` is not
                empty.
            HostError: the host cannot be asked, or what it sent is no model.
        """
        record = self._ended(self.record)
        fetch = getattr(self._bound(), "download", None)
        if fetch is None:
            raise RunError(f"the model of run {self.id} is on this machine already: run.model")
        fetch(record, Path(folder))
        return Model(f"local:{folder}", self.task)

    def events(self, after: int = 0) -> list[Event]:
        """What has happened, oldest first; only what came after event number ``after``."""
        self.record  # noqa: B018  (brings the store up to date)
        return self._store.events(self.id, after)

    def follow(self) -> Iterator[Event]:
        """Every event from the beginning, then each new one as it comes, until the run has ended."""
        last = 0
        while True:
            ended = self.state not in OPEN_STATES  # asked first, so that no event after the look is lost
            for event in self._store.events(self.id, last):
                last = event.seq
                yield event
            if ended:
                return
            time.sleep(_POLL_S)

    def wait(self, *, progress: bool = True, timeout_s: float | None = None) -> Run:
        """Wait until the run has ended, with a progress bar when standard error is a terminal.

        Ctrl-C ends the waiting, not the run.

        Args:
            timeout_s: give up waiting after so many seconds.

        Returns:
            The run itself, so that ``ft.train(…).wait().model`` reads well.

        Raises:
            RunFailedError, RunCancelledError: it ended without a model.
            RunError: ``timeout_s`` has passed; the run goes on.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        last = 0
        with RunProgress(f"{self._record.backend}:{self._record.model}", self.id, shown=progress) as bar:
            try:
                while True:
                    record = self.record
                    for event in self._store.events(self.id, last):
                        last = event.seq
                        bar.show(event)
                    if record.state not in OPEN_STATES:
                        self._ended(record)
                        return self
                    if deadline is not None and time.monotonic() > deadline:
                        raise RunError(f"run {self.id} is still {record.state} after {timeout_s} s; it goes on")
                    time.sleep(_POLL_S)
            except KeyboardInterrupt:
                bar.print(
                    f"run {self.id} goes on; find it again with ft.runs.get({self.id!r}) or `ftkit runs wait {self.id}`"
                )
                raise

    def cancel(self) -> Run:
        """End the run, keeping what :meth:`resume` needs. A run that has ended already stays as it is."""
        record = self.record
        if record.state in OPEN_STATES:
            self._bound().cancel(record, self._store)
        return self

    def pause(self) -> Run:
        """Let a run rest at its host, which keeps a snapshot; :meth:`resume` goes on from it.

        Raises:
            RunError: it has ended, or its place cannot pause; on this machine :meth:`cancel` keeps a checkpoint.
            HostError: the host refused.
        """
        record, rest = self.record, getattr(self._bound(), "pause", None)
        if rest is None or record.state not in OPEN_STATES:
            why = f"it is {record.state}" if rest is not None else "cancel it: a checkpoint is kept"
            raise RunError(f"run {self.id} cannot be paused: {why}")
        rest(record, self._store)
        return self

    def resume(self) -> Run:
        """Go on with a run that was paused, cancelled, failed or died, from its newest checkpoint.

        On this machine's CPU the result is, bit for bit, that of a run that was never interrupted.

        Raises:
            RunError: it goes on already, has succeeded, or its backend cannot resume.
        """
        record = self.record
        paused = bool(record.handle.get("paused"))
        if (record.state in OPEN_STATES and not paused) or record.state == "succeeded":
            raise RunError(
                f"run {self.id} is {record.state}; only one that was paused, cancelled or failed can be resumed"
            )
        self._bound().resume(record, self._store)
        return self

    def log(self) -> str:
        """The text a local worker has written, libraries' messages included; empty for runs elsewhere."""
        file = self.folder / "log.txt"
        return file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""

    def _bound(self) -> Backend:
        if self._backend is None:
            self._backend = backend_of(f"{self._record.backend}:{self._record.model}")
        return self._backend

    def _ended(self, record: RunRecord) -> RunRecord:
        if record.state == "failed":
            raise RunFailedError(f"run {self.id} failed: {record.error}")
        if record.state == "cancelled":
            raise RunCancelledError(f"run {self.id} was cancelled, so it has no model")
        if record.state != "succeeded":
            raise RunError(f"run {self.id} is still {record.state}; call run.wait() first")
        return record
