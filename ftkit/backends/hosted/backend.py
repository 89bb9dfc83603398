"""The base class of backends that train at a host: a job is submitted once, polled, and found again after a crash."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, Generic, TypeVar

from typing_extensions import override

from ftkit.backends.answer import Answerer
from ftkit.backends.hosted.concurrency import ConcurrencyLimiter
from ftkit.backends.hosted.duplicate_jobs import keep_one_job
from ftkit.backends.hosted.endpoint import Endpoint
from ftkit.backends.hosted.field_support import FieldSupportTable
from ftkit.backends.hosted.host import Host, RemoteJob
from ftkit.backends.hosted.job_handle import JobHandle, check_address
from ftkit.backends.hosted.job_state import end_run, sync_run
from ftkit.backends.hosted.job_submission import JobSubmission, fail_if_abandoned, run_lock
from ftkit.backends.hosted.polling import PollSchedule, report_failed_poll
from ftkit.backends.hosted.preflight import check_recipe, check_rows
from ftkit.backends.hosted.quote import quote
from ftkit.backends.hosted.retry import RetryPolicy
from ftkit.backends.hosted.run_key import new_key
from ftkit.backends.hosted.training_files import TrainingFiles, write_rows
from ftkit.backends.hosted.weights import download_model
from ftkit.backends.protocol import Backend, TrainingJob
from ftkit.catalog import load_catalog
from ftkit.data import Dataset
from ftkit.data.writers import OpenAIForm
from ftkit.errors import ConfigError, HostError, RefusedError, RunError
from ftkit.recipe import Recipe, parse_recipe
from ftkit.results.plan import Estimate, Quote
from ftkit.schema import Output
from ftkit.store import OPEN_STATES, RunRecord, Store
from ftkit.task import Task

__all__ = ["HostedBackend"]

HostType = TypeVar("HostType", bound=Host)


class HostedBackend(Backend, ABC, Generic[HostType]):
    """Base of the backends that train at a host.

    A subclass says how its host is called and what a recipe means there. The record of a run holds a
    :class:`~ftkit.backends.hosted.job_handle.JobHandle`.

    Args:
        model: the model's name at the host.
        endpoint: address and key of the host.
        field_support: which recipe fields the host supports, by kind of recipe. A kind that is missing is refused.
        base_url: the host's address, if it is not the endpoint's.
        api_key: its key; from the environment by default. It is kept in memory only.
        concurrency: number of requests at the same time.
        retry_policy: how failing calls are retried.
    """

    byte_order_mark: bool = False
    """Whether training files begin with a byte order mark."""
    validation_required: tuple[str, ...] = ()
    """Kinds of recipes that the host trains only with validation rows."""
    price_estimates: tuple[str, ...] = ()
    """Kinds of recipes for which the host estimates the price before the job is created."""
    charged_evaluations: int = 0
    """How often the host evaluates the validation rows at the price of training."""

    def __init__(
        self,
        model: str,
        endpoint: Endpoint,
        field_support: Mapping[str, FieldSupportTable],
        *,
        base_url: str | None,
        api_key: str | None,
        concurrency: int,
        retry_policy: RetryPolicy | None,
    ) -> None:
        if base_url is not None:
            endpoint.check_address(base_url)
        self.name, self.model = endpoint.name, model
        self._host_model = model  # a subclass may add the host's address to self.model
        self.endpoint, self.field_support = endpoint, field_support
        self.limiter, self.retry_policy = ConcurrencyLimiter(concurrency), retry_policy or RetryPolicy()
        self._base_url, self._api_key = base_url, api_key
        self.extra: dict[str, Any] = {}  # what users add to the request that creates a job; stored with the run
        self.poll_schedule = PollSchedule(self.retry_policy)
        self._lock = threading.Lock()
        self._host: HostType | None = None
        self._answerer: Answerer | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.model!r})"

    # What a subclass implements.

    @abstractmethod
    def create_host(self) -> HostType:
        """Create the host, with its key from the argument or the environment.

        Returns:
            The host.
        """

    @abstractmethod
    def create_answerer(self) -> Answerer:
        """Create what answers requests.

        Returns:
            The answerer.
        """

    @abstractmethod
    def request_body(
        self, recipe: Recipe, rows: int, files: Mapping[str, str], key: str, output: Output | None = None
    ) -> dict[str, Any]:
        """Build the request that creates a job.

        Args:
            recipe: the recipe.
            rows: number of training rows.
            files: ids of the uploaded files, by ``"training"`` and perhaps ``"validation"``.
            key: the key of the run.
            output: the task's output.

        Returns:
            The request in the host's format.
        """

    def own_files(self) -> bool:
        """Return whether each run uploads files of its own, so that its job can be found by their ids.

        Returns:
            False where the key of a job cannot get lost, so that runs with the same rows share a file.
        """
        return False

    def out_of_range(self, recipe: Recipe) -> dict[str, str]:
        """Return the fields whose values are outside of the host's ranges.

        Args:
            recipe: the recipe.

        Returns:
            By dotted name, what the host accepts.
        """
        return {}

    def download_weights(self, record: RunRecord, folder: Path) -> None:
        """Write the files of a succeeded run's model into a folder.

        Args:
            record: the run.
            folder: the folder.

        Raises:
            RunError: the host offers no weights.
        """
        raise RunError(f"{self.name} offers no weights; the model of run {record.id} answers only there")

    def shutdown_date(self) -> date | None:
        """Ask the host when the model, or a model tuned from it, is shut down.

        Returns:
            The shutdown date; None if the host gives none, cannot be asked, or there is no key.
        """
        return None

    # The protocol.

    @override
    def check(self, recipe: Recipe, data: Dataset, validation: Dataset | None) -> None:
        self._check_job(recipe, data, validation)
        self.host()  # there must be an address and a key

    @override
    def estimate(
        self, recipe: Recipe, data: Dataset, validation: Dataset | None, *, device: str | None = None
    ) -> Estimate:
        raise RefusedError(f"{self.name}:{self.model} makes no estimates; its quote says the cost", backend=self.name)

    def quote(self, recipe: Recipe, data: Dataset, validation: Dataset | None = None) -> Quote:
        """Calculate what training costs here, and when the host stops training and serving the model.

        No rows are sent. With a key, the host is asked for the model's shutdown date, which precedes the catalogue's.

        Args:
            recipe: the recipe.
            data: the training rows.
            validation: the validation rows.

        Returns:
            The quote.
        """
        self._check_job(recipe, data, validation)
        return quote(
            f"{self.name}:{self.model}",
            self.catalog_key(),
            recipe,
            data,
            evaluated=validation,
            evaluations=self.charged_evaluations,
            shutdown_date=self.shutdown_date(),
            estimated_by_host=recipe.kind in self.price_estimates,
        )

    @override
    def submit(self, job: TrainingJob, store: Store) -> None:
        folder = store.run_folder(job.run_id)
        with run_lock(job.run_id, store):
            job.save(folder)
            form: OpenAIForm | None = "reinforcement" if job.recipe.kind == "rft" else None
            write_rows(job.data, folder / "training.jsonl", form, byte_order_mark=self.byte_order_mark)
            if job.validation is not None:
                write_rows(job.validation, folder / "validation.jsonl", form, byte_order_mark=self.byte_order_mark)
            # From here on, any process that finds the run can submit it.
            handle = JobHandle(key=new_key(job.run_id), url=self.host().url, max_cost=job.max_cost, extra=self.extra)
            with store.transaction(job.run_id) as run:
                handle.save(run)
            self._submission(store).run(store.get(job.run_id))

    @override
    def resume(self, record: RunRecord, store: Store) -> None:
        if JobHandle.of(record) is None:
            raise RunError(f"run {record.id} was never sent to the host; start it again with ft.train")
        with run_lock(record.id, store):
            check_address(record, self.name, self.host().url)
            record = store.get(record.id)
            job_id = JobHandle.require(record).job
            if job_id is None:
                folder = store.run_folder(record.id)
                if not (folder / "training.jsonl").is_file():
                    raise RunError(f"run {record.id} cannot be resumed: its rows are no longer in {folder}")
                store.update(record.id, state="queued", error=None, finished_at=None, reason="resumed")
                try:
                    self._submission(store).run(store.get(record.id))
                except Exception as error:
                    end_run(record.id, store, "failed", f"could not be started: {error}")
                    raise
                return
            job = self.retry_policy(lambda: self.host().resume(job_id))
            with store.transaction(record.id) as run:
                run.update(state=job.state, error=None, finished_at=None, reason="resumed")
                JobHandle.require(run.record).save(run, paused=False)

    @override
    def refresh(self, record: RunRecord, store: Store) -> None:
        if record.state not in OPEN_STATES:
            return
        if JobHandle.of(record) is None:
            fail_if_abandoned(record, store)
            return
        if not self.poll_schedule.is_due(record.id):
            return
        try:
            check_address(record, self.name, self.host().url)
            job = self._submission(store).find(record)
            if job is not None:
                job = keep_one_job(self.host(), self.retry_policy, store.get(record.id), job, store)
                self._sync(record.id, job, store)
        except HostError as error:
            report_failed_poll(self.poll_schedule, record, error, store)
            return
        self.poll_schedule.record_success(record)

    def pause(self, record: RunRecord, store: Store) -> None:
        """Pause a run's job. :meth:`resume` continues from the snapshot that the host keeps.

        Args:
            record: the run.
            store: the store of runs.

        Raises:
            RunError: the run has no job yet, or the host cannot pause jobs.
        """
        check_address(record, self.name, self.host().url)
        handle = JobHandle.of(record)
        if handle is None or handle.job is None:
            raise RunError(f"run {record.id} has no job at {self.name} yet; pause it in a moment")
        job_id = handle.job
        self._sync(record.id, self.retry_policy(lambda: self.host().pause(job_id)), store)

    @override
    def cancel(self, record: RunRecord, store: Store) -> None:
        check_address(record, self.name, self.host().url)
        handle, submission = JobHandle.of(record), self._submission(store)
        job_ids = submission.existing_jobs(record)
        for job_id in job_ids[1:]:
            self._cancel_job(job_id)
        if job_ids:
            self._sync(record.id, self._cancel_job(job_ids[0]), store)
        elif handle is not None:
            submission.files.delete_all(record)
        end_run(record.id, store, "cancelled", None)

    def _cancel_job(self, job_id: str) -> RemoteJob:
        try:
            return self.retry_policy(lambda: self.host().cancel(job_id))
        except HostError as error:
            if error.passing:
                raise
            return self.retry_policy(lambda: self.host().job(job_id))  # it may have ended in the meantime

    @override
    def tuned_model(self, record: RunRecord, store: Store) -> str:
        name = record.summary.get("tuned_model")
        if not name:
            raise RunError(f"the host named no model for run {record.id}; job {record.handle.get('job')}")
        return str(name)

    def download(self, record: RunRecord, folder: Path) -> None:
        """Download the weights of a succeeded run, so that ``"local:<folder>"`` is its model.

        Args:
            record: the run.
            folder: a new or empty folder.
        """
        check_address(record, self.name, self.host().url)
        origin = {"task": record.task, "run": record.id, "trained_at": self.name, "tuned_from": record.model}
        download_model(folder, origin, lambda partial: self.download_weights(record, partial))

    @override
    def answerer(self) -> Answerer:
        with self._lock:
            if self._answerer is None:
                self._answerer = self.create_answerer()
            return self._answerer

    def close(self) -> None:
        """Close the connections over which the model was asked, when no call uses them; the next call opens others."""
        self._answerer = None

    @override
    def known_task(self) -> Task | None:
        for record in Store().all():
            if record.backend == self.name and record.summary.get("tuned_model") == self.model:
                return Task.model_validate(record.task)
        return None

    def host(self) -> HostType:
        """Return the host, which is created on first use.

        Returns:
            The host.
        """
        if self._host is None:
            self._host = self.create_host()
        return self._host

    def url(self) -> str:
        """Return the host's address.

        Returns:
            The base URL.
        """
        return self.endpoint.address(self._base_url)

    def key(self) -> str:
        """Return the host's API key.

        Returns:
            The key.
        """
        return self.endpoint.key(self._api_key)

    def catalog_key(self) -> tuple[str, str]:
        """Return the provider and model as the catalogue names them.

        The provider is that of the address: the prices of OpenAI say nothing about another server with the same API.

        Returns:
            Provider and model.
        """
        try:
            url = self.url()
        except ConfigError:  # the address is not set yet
            return self.name, self._host_model
        return load_catalog().provider_at(url), self._host_model

    def _check_job(self, recipe: Recipe, data: Dataset, validation: Dataset | None) -> None:
        check_recipe(recipe, self.field_support, self.out_of_range(recipe), self.name, self.model)
        required = recipe.kind in self.validation_required
        key = self.catalog_key()
        check_rows(recipe, data, validation, self.name, self.model, key, validation_required=required)

    def _submission(self, store: Store) -> JobSubmission:
        def build_request(record: RunRecord, files: dict[str, str], key: str) -> dict[str, Any]:
            recipe = parse_recipe(record.recipe)
            return self.request_body(recipe, record.rows, files, key, Task.model_validate(record.task).output)

        host, policy = self.host(), self.retry_policy
        files = TrainingFiles(host, self.name, policy, self.limiter, store, own_files=self.own_files())
        return JobSubmission(host, policy, store, files, build_request)

    def _sync(self, run_id: str, job: RemoteJob, store: Store) -> None:
        sync_run(self.host(), self.retry_policy, store.get(run_id), job, store)
