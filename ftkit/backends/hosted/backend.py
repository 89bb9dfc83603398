"""The life of a training job at a host: submitted once, found again after anything, its events brought home."""

from __future__ import annotations

import secrets
import threading
import time
from abc import ABC, abstractmethod
from datetime import date
from pathlib import Path
from typing import Any, Generic, TypeVar

from ftkit.backends.answer import Answerer
from ftkit.backends.hosted.endpoint import Endpoint
from ftkit.backends.hosted.field_support import Treatments
from ftkit.backends.hosted.files import TrainingFiles, write_rows
from ftkit.backends.hosted.host import Host, Order, RemoteJob
from ftkit.backends.hosted.idempotency import create_once
from ftkit.backends.hosted.job_state import bring_home, end, note_estimate
from ftkit.backends.hosted.polling import Looks
from ftkit.backends.hosted.preflight import check_recipe, check_rows
from ftkit.backends.hosted.price_quote import quote
from ftkit.backends.hosted.retry import Patience
from ftkit.backends.hosted.submit_lock import fail_if_abandoned, submitting
from ftkit.backends.hosted.weight_download import fetch_model
from ftkit.backends.protocol import TrainingJob
from ftkit.catalog import load_catalog
from ftkit.data import Dataset
from ftkit.data.writers import OpenAIForm
from ftkit.errors import ConfigError, HostError, RefusedError, RunError
from ftkit.recipe import LOSSES, Recipe
from ftkit.results.plan import Estimate, Quote
from ftkit.schema import Output
from ftkit.store import OPEN_STATES, RunRecord, Store
from ftkit.task import Task

__all__ = ["HostedBackend"]

HostType = TypeVar("HostType", bound=Host)


class HostedBackend(ABC, Generic[HostType]):
    """Base of the backends that train elsewhere. A subclass says how its host is called and what a recipe means there.

    A run's ``handle`` holds ``key`` (unique, stored before the first call and carried by the job), ``phase``
    (``uploading``, ``creating``, ``created``), ``files`` (ids, and whether this run uploaded them) and ``job``.

    Args:
        treatments: what becomes of a recipe's fields, by the recipe's kind; a kind that is missing is refused.
        base_url: the host's address, when it is not the endpoint's.
        api_key: its key; from the environment by default. It is kept nowhere but in memory.
        concurrency: questions asked at once.
        patience: how failing calls are tried again.
    """

    byte_order_mark: bool = False
    """Whether training files begin with one."""
    validation_needed: tuple[str, ...] = ()
    """Kinds of recipes that the host trains with validation rows alone."""
    estimates: tuple[str, ...] = ()
    """Kinds of recipes whose price the host itself says, once it has the rows and before the job is created."""

    def __init__(
        self,
        model: str,
        endpoint: Endpoint,
        treatments: dict[str, Treatments],
        *,
        base_url: str | None,
        api_key: str | None,
        concurrency: int,
        patience: Patience | None,
    ) -> None:
        self.name, self.model = endpoint.name, model
        self._known_as = model  # there; a subclass may say more in the name by which it is found here
        self.endpoint, self.treatments = endpoint, treatments
        self.concurrency, self.patience = concurrency, patience or Patience()
        self._base_url, self._api_key = base_url, api_key
        self.extra: dict[str, Any] = {}  # what users send along over what a recipe says; kept with the run
        self.looks = Looks(self.patience)
        self._lock = threading.Lock()
        self._made: HostType | None = None
        self._asked: Answerer | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.model!r})"

    # What a subclass says.

    @abstractmethod
    def make_host(self) -> HostType:
        """The host, with its key from argument or environment.

        Raises:
            ConfigError: there is no key.
        """

    @abstractmethod
    def make_answerer(self) -> Answerer:
        """What answers there."""

    @abstractmethod
    def body(
        self, recipe: Recipe, rows: int, files: dict[str, str], key: str, output: Output | None = None
    ) -> dict[str, Any]:
        """The request that creates the job.

        Args:
            files: ids of the uploaded files, as ``training`` and perhaps ``validation``.
            output: what the task's answers look like.
        """

    def beyond(self, recipe: Recipe) -> dict[str, str]:
        """Fields whose values are beyond the host's own ranges, by dotted name, each with what it takes."""
        return {}

    def fetch_weights(self, record: RunRecord, folder: Path) -> None:
        """Write the files of a succeeded run's model into ``folder``.

        Raises:
            RunError: the host gives none out.
        """
        raise RunError(f"{self.name} gives no weights out; the model of run {record.id} answers there only")

    def shutdown_date(self) -> date | None:
        """When the host itself says that the model, or what is tuned from it, stops answering: one quick question.
        ``None``: it does not say, cannot be asked now, or there is no key to ask with."""
        return None

    # The protocol.

    def check(self, recipe: Recipe, data: Dataset, validation: Dataset | None) -> None:
        """See :class:`~ftkit.backends.Backend`. Reads no rows, and calls nobody."""
        self._refuse(recipe, data, validation)
        self.host()

    def estimate(
        self, recipe: Recipe, data: Dataset, validation: Dataset | None, *, device: str | None = None
    ) -> Estimate:
        """See :class:`~ftkit.backends.Backend`. Hosts say nothing of memory and time; :meth:`quote` has the cost."""
        raise RefusedError(f"{self.name}:{self.model} makes no estimates; its quote says the cost", backend=self.name)

    def quote(self, recipe: Recipe, data: Dataset, validation: Dataset | None = None) -> Quote:
        """What training would cost here and how long the door stays open; see :class:`Quote`.

        Sends no rows. Where there is a key, the host is asked for the model's last day, which goes before the
        catalogue's.

        Raises:
            RefusedError, DataError: as for :meth:`check`; no key is needed.
        """
        self._refuse(recipe, data, validation)
        where = f"{self.name}:{self.model}"
        says = recipe.kind in self.estimates
        return quote(where, self.listed(), recipe, data, last_day=self.shutdown_date(), estimated_by_host=says)

    def submit(self, job: TrainingJob, store: Store) -> None:
        """See :class:`~ftkit.backends.Backend`. When the outcome stays in doubt the run stays ``queued``, and whoever
        looks at it next finds out."""
        folder = store.run_folder(job.run_id)
        folder.mkdir(parents=True, exist_ok=True)
        with submitting(folder) as mine:
            if not mine:
                raise RunError(f"run {job.run_id} is being submitted already")
            job.save(folder)
            form: OpenAIForm | None = "reinforcement" if job.recipe.kind == "rft" else None
            write_rows(job.data, folder / "training.jsonl", form, mark=self.byte_order_mark)
            if job.validation is not None:
                write_rows(job.validation, folder / "validation.jsonl", form, mark=self.byte_order_mark)
            # From here on the run can be gone on with by whoever finds it.
            key = f"ftkit-{job.run_id}-{secrets.token_hex(4)}"
            told = {"url": self.host().url, "max_cost": job.max_cost, "extra": self.extra}
            store.update(job.run_id, handle={"key": key, "phase": "uploading", **told})
            self._submit(store.get(job.run_id), store)

    def resume(self, record: RunRecord, store: Store) -> None:
        """See :class:`~ftkit.backends.Backend`. A job that was never created is created; one that was
        stopped goes on where the host can."""
        if "key" not in record.handle:
            raise RunError(f"run {record.id} never came as far as the host; start it again with ft.train")
        folder = store.run_folder(record.id)
        with submitting(folder) as mine:
            if not mine:
                raise RunError(f"run {record.id} is being submitted already")
            self._same_host(record)
            if record.handle.get("job") is None:
                if not (folder / "training.jsonl").is_file():
                    raise RunError(f"run {record.id} cannot be resumed: its rows are gone from {folder}")
                store.update(record.id, state="queued", error=None, finished_at=None, reason="resumed")
                try:
                    self._submit(store.get(record.id), store)
                except Exception as error:
                    end(record.id, store, "failed", f"could not be started: {error}")
                    raise
                return
            job = self.patience(lambda: self.host().resume(record.handle["job"]))
            store.update(record.id, state=job.state, error=None, finished_at=None, reason="resumed")
            self._note(record.id, store, paused=False)

    def refresh(self, record: RunRecord, store: Store) -> None:
        """See :class:`~ftkit.backends.Backend`. Looks seldom, and an outage of the host changes nothing."""
        if record.state not in OPEN_STATES:
            return
        if "key" not in record.handle:
            fail_if_abandoned(record, store)
            return
        if not self.looks.due(record.id):
            return
        try:
            self._same_host(record)
            job = self._look(record, store)
            if job is not None:
                bring_home(self.host(), self.patience, store.get(record.id), job, store)
        except HostError as error:
            failures = self.looks.failed(record.id, error)
            if not failures:
                store.append(record.id, "warning", {"message": f"{error}; the run goes on, and is looked at again"})
            if not error.passing and error.status in (401, 403):
                raise
            if error.status == 404 and failures >= 3:
                end(record.id, store, "failed", f"the host knows the job no longer: {error}")
            return
        self.looks.seen(record)

    def pause(self, record: RunRecord, store: Store) -> None:
        """Let a job rest, where the host can; :meth:`resume` goes on from what it keeps.

        Raises:
            RunError: the host cannot, or has no job of the run yet.
        """
        self._same_host(record)
        job_id = record.handle.get("job")
        if job_id is None:
            raise RunError(f"run {record.id} has no job at {self.name} yet; pause it in a moment")
        job = self.patience(lambda: self.host().pause(job_id))
        bring_home(self.host(), self.patience, store.get(record.id), job, store)

    def cancel(self, record: RunRecord, store: Store) -> None:
        """See :class:`~ftkit.backends.Backend`. A job that may or may not exist is looked for first."""
        self._same_host(record)
        host, handle = self.host(), record.handle
        job_id = handle.get("job")
        if job_id is None and "key" in handle:
            found = self.patience(lambda: host.find_job(handle["key"], record.recipe["kind"]))
            if found is None and self._may_appear(record):
                raise RunError(f"run {record.id} is just being submitted; cancel it again in a moment")
            job_id = None if found is None else found.id
        if job_id is not None:
            try:
                job = self.patience(lambda: host.cancel(job_id))
            except HostError as error:
                if error.passing:
                    raise
                job = self.patience(lambda: host.job(job_id))  # it may have ended in the meantime
            bring_home(host, self.patience, store.get(record.id), job, store)
            if store.get(record.id).state not in OPEN_STATES:
                return
        else:
            self._files(store).remove(record)
        end(record.id, store, "cancelled", None)

    def tuned_model(self, record: RunRecord, store: Store) -> str:
        """See :class:`~ftkit.backends.Backend`: the name under which the host serves it."""
        name = record.summary.get("tuned_model")
        if not name:
            raise RunError(f"the host named no model for run {record.id}; job {record.handle.get('job')}")
        return str(name)

    def download(self, record: RunRecord, folder: Path) -> None:
        """Fetch the weights of a succeeded run, so that ``"local:<folder>"`` is its model.

        Raises:
            RunError: the host gives none out, or the folder is not empty.
            HostError: it cannot be asked, or sent no model.
        """
        self._same_host(record)
        kept = {"task": record.task, "run": record.id, "trained_at": self.name, "tuned_from": record.model}
        fetch_model(folder, kept, lambda aside: self.fetch_weights(record, aside))

    def answerer(self) -> Answerer:
        """See :class:`~ftkit.backends.Backend`."""
        with self._lock:
            if self._asked is None:
                self._asked = self.make_answerer()
            return self._asked

    def known_task(self) -> Task | None:
        """See :class:`~ftkit.backends.Backend`: that of the run in the store which made this model."""
        for record in Store().all():
            if record.backend == self.name and record.summary.get("tuned_model") == self.model:
                return Task.model_validate(record.task)
        return None

    def host(self) -> HostType:
        """The host, made at the first call."""
        if self._made is None:
            self._made = self.make_host()
        return self._made

    def url(self) -> str:
        """The host's address."""
        return self.endpoint.address(self._base_url)

    def listed(self) -> tuple[str, str]:
        """Under which provider and name the catalogue has the model that answers here. It goes by the address: what
        OpenAI charges says nothing about another server that speaks as it does."""
        try:
            url = self.url()
        except ConfigError:  # not said yet; the host's own it will be
            return self.name, self._known_as
        return load_catalog().provider_at(url), self._known_as

    def key(self) -> str:
        """The host's key."""
        return self.endpoint.key(self._api_key)

    def _refuse(self, recipe: Recipe, data: Dataset, validation: Dataset | None) -> None:
        where = f"{self.name}:{self.model}"
        check_recipe(recipe, self.treatments, self.beyond(recipe), where)
        needed = recipe.kind in self.validation_needed
        check_rows(recipe.kind, data, validation, where, self.listed(), validation_needed=needed)

    # Submitting.

    def _submit(self, record: RunRecord, store: Store) -> None:
        """From whatever was done to a job at the host; safe to be cut off at any point and begun again."""
        run_id, key, kind = record.id, record.handle["key"], record.recipe["kind"]
        found = None
        if record.handle["phase"] == "creating":  # a call was begun before: nothing is created before it was looked for
            found = self.patience(lambda: self.host().find_job(key, kind))
        if found is None:
            files = self._files(store).upload_all(record)
            recipe = LOSSES.get(kind).model_validate(record.recipe)
            output = Task.model_validate(record.task).output
            extra = record.handle.get("extra", self.extra)
            order = Order(key, self.body(recipe, record.rows, files, key, output), kind, extra)
            try:
                note_estimate(self.host(), self.patience, order, store.get(run_id), store)
                self._note(run_id, store, phase="creating", asked_at=time.time())
                found = create_once(
                    self.patience, lambda: self.host().create_job(order), lambda: self.host().find_job(key, kind)
                )
            except (HostError, RefusedError):
                # A clear no: nothing was created, so what was uploaded for it goes.
                self._note(run_id, store, phase="uploading", asked_at=None)
                self._files(store).remove(store.get(run_id))
                raise
        if found is None:
            store.append(run_id, "warning", {"message": "the host did not say whether it took the job; looking again"})
            return
        self._attach(store.get(run_id), found, store)

    def _attach(self, record: RunRecord, job: RemoteJob, store: Store) -> None:
        self._note(record.id, store, phase="created", job=job.id)
        if job.state == "running":
            store.update(record.id, expect=("queued",), state="running")

    # Looking.

    def _look(self, record: RunRecord, store: Store) -> RemoteJob | None:
        job_id = record.handle.get("job")
        if job_id is not None:
            return self.host().job(job_id)
        with submitting(store.run_folder(record.id)) as mine:
            if not mine:
                return None  # somebody is at it
            record = store.get(record.id)
            if record.handle.get("job") is not None:
                return self.host().job(record.handle["job"])
            found = self.host().find_job(record.handle["key"], record.recipe["kind"])
            if found is not None:
                self._attach(record, found, store)
                return found
            if not self._may_appear(record):
                self._files(store).remove(record)
                reason = (
                    "its submission was cut off before the host took the job, so nothing was started or charged; "
                    f"`ftkit runs resume {record.id}` submits it again"
                )
                end(record.id, store, "failed", reason)
        return None

    def _may_appear(self, record: RunRecord) -> bool:
        """Whether a request for the job may still be under way."""
        asked_at = record.handle.get("asked_at")
        return asked_at is not None and time.time() - asked_at < self.patience.settle_s

    def _note(self, run_id: str, store: Store, **changes: Any) -> None:
        store.update(run_id, handle=store.get(run_id).handle | changes)

    def _files(self, store: Store) -> TrainingFiles:
        return TrainingFiles(self.host(), self.name, self.patience, store)

    def _same_host(self, record: RunRecord) -> None:
        at = record.handle.get("url")
        if at is not None and at != self.host().url:
            raise RunError(
                f"run {record.id} was submitted to {at}, and the backend {self.name!r} is now {self.host().url}; "
                "set the address back to look after it"
            )
