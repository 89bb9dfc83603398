"""Handles on runs: the same for a worker process on this machine and for a job at a host."""

from __future__ import annotations

import importlib
import json
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Generic, Self

from pydantic import ValidationError

from ftkit.backends import Backend, backend_of
from ftkit.data import Dataset
from ftkit.errors import FtkitError, RunCancelledError, RunError, RunFailedError, StorageError
from ftkit.model import Model
from ftkit.recipe import Recipe, parse_recipe
from ftkit.results.metric_table import MetricTable
from ftkit.runs.labels import label_fields
from ftkit.runs.metric_events import step_metrics, validation_metrics
from ftkit.runs.progress_display import RunProgress
from ftkit.runs.trackers import RunTrackers, Tracker
from ftkit.schema.answer_type import AnswerT
from ftkit.store import OPEN_STATES, Event, EventKind, RunRecord, RunState, Store, StoreWarning, UnreadableRunError
from ftkit.task import Task

__all__ = ["Run"]

_POLL_S = 0.25


class Run(Generic[AnswerT]):
    """A training run. Durable: any process can find it again by its id, see :func:`ftkit.runs.get`.

    Args:
        record: the run as the store holds it.
        store: the store of runs.
        backend: its backend; found by its name by default.
        task: its task; read from the record by default.
        trackers: trackers that receive its events in this process, beside those that the store lists for it.
    """

    def __init__(
        self,
        record: RunRecord,
        store: Store,
        backend: Backend | None = None,
        task: Task[AnswerT] | None = None,
        trackers: Sequence[Tracker] = (),
    ) -> None:
        self.id = record.id
        self._store = store
        self._record = record
        self._backend = backend
        self._task = task
        self._trackers = RunTrackers(store, record.id, trackers)

    def __repr__(self) -> str:
        return f"Run({self.id!r}, {self._record.backend}:{self._record.model}, {self.state})"

    @property
    def record(self) -> RunRecord:
        """The run as it is now. Reading it polls the backend and sends new events to the trackers.

        On a full or read-only disk the run is returned as it is stored, with a warning.
        """
        record = self._store.get(self.id)
        if record.state in OPEN_STATES:
            try:
                self._bound_backend().refresh(record, self._store)
            except StorageError as error:
                warnings.warn(f"the state of run {self.id} may be old: {error}", StoreWarning, stacklevel=2)
            record = self._store.get(self.id)
        self._record = record
        self._trackers.deliver(record)
        return record

    @property
    def name(self) -> str | None:
        """The name that was given to the run, if any."""
        return self.stored_record.name

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags of the run."""
        return self.stored_record.tags

    @property
    def notes(self) -> str | None:
        """The notes on the run, if any."""
        return self.stored_record.notes

    @property
    def stored_record(self) -> RunRecord:
        """The run as it was when its backend was polled last. Reading it asks nobody."""
        return self._store.get(self.id)

    @property
    def state(self) -> RunState:
        """``queued``, ``running``, ``succeeded``, ``failed`` or ``cancelled``."""
        return self.record.state

    @property
    def recipe(self) -> Recipe:
        """The recipe as it was given."""
        return parse_recipe(self._record.recipe)

    @property
    def task(self) -> Task[AnswerT]:
        """The task that the run trains for.

        In another process than the one that started the run, the class of the answers is imported by its name. Where it
        cannot be, answers are plain values, and a warning says how to get objects.

        Raises:
            UnreadableRunError: the stored task is damaged, or a newer ftkit wrote it.
        """
        if self._task is None:
            self._task = self._stored_task()
        return self._task

    def _stored_task(self) -> Task[AnswerT]:
        try:
            task: Task[AnswerT] = Task.model_validate(self._record.task)
        except (ValidationError, FtkitError) as error:
            reason = " ".join(str(error).split())[:300]
            raise UnreadableRunError(f"the task of run {self.id} cannot be read: {reason}") from error
        name = self._record.answer_class
        if name is None:
            return task
        try:
            module, _, path = name.partition(":")
            found: Any = importlib.import_module(module)
            for part in path.split("."):
                found = getattr(found, part)
            return task.bind(found)
        except Exception as error:  # the user's module may raise anything
            warnings.warn(
                f"answers of run {self.id} are plain values, because their class {name} is not available here "
                f"({type(error).__name__}: {error}); for objects use run.model.bind({path or 'Visit'})",
                stacklevel=3,
            )
            return task

    @property
    def folder(self) -> Path:
        """The folder of the run's files on this machine: job, log, and the model of a local run."""
        return self._store.run_folder(self.id)

    def training_data(self) -> Dataset | None:
        """Open the training rows.

        Returns:
            The rows; None if they can no longer be read as they were.
        """
        job = self.folder / "job.json"
        try:
            data = Dataset.from_spec(json.loads(job.read_text(encoding="utf-8"))["data"])
        except (OSError, FtkitError, ValueError, LookupError, TypeError):
            return None
        return data

    @property
    def metrics(self) -> MetricTable:
        """Metrics by step: loss, learning rate, gradient norm, tokens, seconds, …. A repeated step counts once.

        A list of rows, with ``to_pandas()`` and ``plot()``. Validations are in the columns ``validation_loss``, ….
        """
        return step_metrics(self.events())

    @property
    def validations(self) -> MetricTable:
        """Metrics of the validation rows by step, also before the first step, which :attr:`metrics` only draws."""
        return validation_metrics(self.events())

    @property
    def model(self) -> Model[AnswerT]:
        """The tuned model.

        Raises:
            RunFailedError, RunCancelledError: there is none.
            RunError: the run has not ended; call :meth:`wait` first.
        """
        record = self._check_succeeded(self.record)
        backend = self._bound_backend()
        return Model(f"{backend.name}:{backend.tuned_model(record, self._store)}", self.task)

    def download(self, folder: str | Path) -> Model[AnswerT]:
        """Download the weights of the tuned model from a host that offers them.

        Args:
            folder: a new or empty folder. Afterwards ``"local:<folder>"`` names the model. The base model of an adapter
                is searched for where the backend ``local`` searches.

        Returns:
            The tuned model, which answers on this machine.

        Raises:
            RunError: the run has no model, its model is on this machine already, its host offers no weights, or the
                folder is not empty.
        """
        record = self._check_succeeded(self.record)
        download = getattr(self._bound_backend(), "download", None)
        if download is None:
            raise RunError(f"the model of run {self.id} is on this machine already: run.model")
        download(record, Path(folder))
        return Model(f"local:{folder}", self.task)

    def delete_there(self) -> None:
        """Delete the run's files on the machine that trained it. Only backends that keep files elsewhere do anything.

        Raises:
            HostError: the machine cannot be reached.
        """
        delete = getattr(self._bound_backend(), "delete_run", None)
        if delete is not None:
            delete(self.stored_record)

    def events(self, after: int = 0) -> list[Event]:
        """Poll the backend and return the events of the run.

        Args:
            after: return only events whose ``seq`` is above this.

        Returns:
            The events, oldest first.
        """
        self.record  # noqa: B018  (polls the backend)
        return self._store.events(self.id, after)

    def stored_events(self) -> list[Event]:
        """Return the events that the store has, without polling the backend.

        Returns:
            The events, oldest first.
        """
        return self._store.events(self.id)

    def add_event(self, kind: EventKind, data: dict[str, Any]) -> None:
        """Add an event to the run, and send it to the run's trackers.

        Args:
            kind: the kind of event.
            data: its data, see :class:`ftkit.Event`.
        """
        self._store.append(self.id, kind, data)
        self._trackers.deliver(self._store.get(self.id))

    def annotate(self, *, name: str | None = None, tags: Sequence[str] | None = None, notes: str | None = None) -> Self:
        """Change the run's name, tags or notes. What is None stays as it is.

        Args:
            name: the new name; ``""`` removes it.
            tags: the new tags, in place of all earlier ones.
            notes: the new notes; ``""`` removes them.

        Returns:
            The run itself.

        Raises:
            ConfigError: a value is not a text, or too long.
        """
        self._store.update(self.id, **label_fields(name, tags, notes))
        return self

    def follow(self) -> Iterator[Event]:
        """Follow the run until it has ended.

        Yields:
            All events so far, then each new one.
        """
        last = 0
        while True:
            ended = self.state not in OPEN_STATES  # read first, so that the last events are not missed
            for event in self._store.events(self.id, last):
                last = event.seq
                yield event
            if ended:
                return
            time.sleep(_POLL_S)

    def wait(self, *, progress: bool = True, timeout_s: float | None = None) -> Self:
        """Wait until the run has ended, and show its progress.

        A terminal and a notebook get a bar; elsewhere there are plain lines from time to time on standard error. The
        run's id is printed first. Ctrl-C ends the waiting, not the run, and prints how to find it again.

        Args:
            progress: whether to show the progress.
            timeout_s: stop waiting after this many seconds. None: no limit.

        Returns:
            The run itself, so that ``ft.train(…).wait().model`` can be written.

        Raises:
            RunError: ``timeout_s`` has passed; the run continues. As RunFailedError or RunCancelledError: the run
                ended without a model.
            KeyboardInterrupt: Ctrl-C was pressed.
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
                        self._check_succeeded(record)
                        return self
                    if deadline is not None and time.monotonic() > deadline:
                        raise RunError(f"run {self.id} is still {record.state} after {timeout_s} s; it continues")
                    time.sleep(_POLL_S)
            except KeyboardInterrupt:
                bar.print(
                    f"run {self.id} continues; find it with ft.runs.get({self.id!r}) or `ftkit runs wait {self.id}`",
                    always=True,
                )
                raise

    def cancel(self) -> Self:
        """Cancel the run, and keep what :meth:`resume` needs. A run that has ended is left unchanged.

        Returns:
            The run itself.
        """
        record = self.record
        if record.state in OPEN_STATES:
            self._bound_backend().cancel(record, self._store)
            self._trackers.deliver(self._store.get(self.id))
        return self

    def pause(self) -> Self:
        """Pause the run at its host, which keeps a snapshot. :meth:`resume` continues from it.

        Returns:
            The run itself.

        Raises:
            RunError: the run has ended, or its backend cannot pause. A local run keeps a checkpoint when it is
                cancelled.
        """
        record, pause = self.record, getattr(self._bound_backend(), "pause", None)
        if pause is None or record.state not in OPEN_STATES:
            reason = f"it is {record.state}" if pause is not None else "cancel it: a checkpoint is kept"
            raise RunError(f"run {self.id} cannot be paused: {reason}")
        pause(record, self._store)
        return self

    def resume(self) -> Self:
        """Resume a run that was paused or cancelled, or has failed, from its newest checkpoint.

        On this machine's CPU the result is bit for bit the result of an uninterrupted run.

        Returns:
            The run itself.

        Raises:
            RunError: the run has not ended, has succeeded, or its backend cannot resume.
        """
        record = self.record
        paused = bool(record.handle.get("paused"))
        if (record.state in OPEN_STATES and not paused) or record.state == "succeeded":
            raise RunError(
                f"run {self.id} is {record.state}; only one that was paused, cancelled or failed can be resumed"
            )
        self._bound_backend().resume(record, self._store)
        return self

    def log(self) -> str:
        """Read what a local worker has printed, with the messages of libraries.

        Returns:
            The text; empty for runs at a host.
        """
        file = self.folder / "log.txt"
        return file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""

    def _bound_backend(self) -> Backend:
        if self._backend is None:
            self._backend = backend_of(f"{self._record.backend}:{self._record.model}")
        return self._backend

    def _check_succeeded(self, record: RunRecord) -> RunRecord:
        if record.state == "failed":
            raise RunFailedError(f"run {self.id} failed: {record.error}")
        if record.state == "cancelled":
            raise RunCancelledError(f"run {self.id} was cancelled, so it has no model")
        if record.state != "succeeded":
            raise RunError(f"run {self.id} is still {record.state}; call run.wait() first")
        return record
