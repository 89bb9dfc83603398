"""The local backend: one worker process per run, which holds the run's lock for its life."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import threading
import time
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from typing_extensions import override

from ftkit.arguments import check_kind
from ftkit.backends.engines import DEFAULT_ENGINE, Engine, check_engine, engine_of
from ftkit.backends.grading import setting_of
from ftkit.backends.local.device_queue import default_max_parallel
from ftkit.backends.local.model_lookup import check_model_exists
from ftkit.backends.local.worker_process import (
    death_message,
    finished_summary,
    is_alive,
    process_of,
    start_worker,
)
from ftkit.backends.own_model_backend import OwnModelBackend
from ftkit.backends.protocol import TrainingJob
from ftkit.data import Dataset
from ftkit.errors import ConfigError, ModelError, RefusedError, RunError, StorageError
from ftkit.extras import check_installed
from ftkit.files import remove_unfinished
from ftkit.graders import Grader
from ftkit.modeling.model_source import RECORD, read_record, split_template, with_template
from ftkit.recipe import Recipe, plugin_modules
from ftkit.results.plan import Estimate
from ftkit.store import OPEN_STATES, RunRecord, RunState, Store
from ftkit.store.run_lock import RunLock
from ftkit.task import Task
from ftkit.training.recipe_check import check_recipe
from ftkit.training.rehearsal_rows import open_rehearsal
from ftkit.training.strategies import check_sharding, check_strategy

if TYPE_CHECKING:
    from ftkit.backends.local.answerer import LocalAnswerer
    from ftkit.backends.local.engine_answerer import EngineAnswerer

__all__ = ["LocalBackend"]

_CANCEL_TIMEOUT_S = 60.0
"""How long a cancelled worker may take to finish its step before it is killed."""
_RESUME_TIMEOUT_S = 60.0
"""How long a worker that is ending may keep a run that is resumed."""
_REQUIRED_PACKAGES = ("torch", "transformers", "peft", "accelerate", "bitsandbytes", "psutil")


_MOST_WORKERS = 10_000
"""Those of a cluster are planned by this backend, too."""


class LocalBackend(OwnModelBackend):
    """Trains and answers on this machine, on its first CUDA device or its CPU.

    Args:
        model: ``"smollm2-135m"`` (embedded), a folder, a hub id, or the id of an earlier run.
        epoch_models: how many of the last epochs' models are kept, in the run's folder ``epochs``, besides the result.
        chat_template: file of a Jinja template that replaces the model's own.
        workers: how many processes train together, each on a GPU of its own, or on its part of the CPU's threads. The
            losses are those of one process but for rounding.
        strategy: how they hold the model: ``"ddp"``, each all of it, or ``"fsdp2"``, each a part.
        max_parallel: how many runs of this ftkit home may train at once on a device. Later ones stay queued. By default
            the environment variable ``FTKIT_MAX_PARALLEL``, or 1.
        engine: what answers: the name of an engine, ``"torch"`` or ``"vllm"``, or one with its settings, e.g.
            :class:`ft.VLLM <ftkit.backends.local.vllm.VLLM>`. Training does not depend on it.

    Raises:
        ConfigError: ``workers`` or ``max_parallel`` is no number above 0, or there is no such strategy or engine.
    """

    name = "local"

    def __init__(
        self,
        model: str,
        *,
        epoch_models: int = 0,
        chat_template: str | os.PathLike[str] | None = None,
        workers: int = 1,
        strategy: str = "ddp",
        max_parallel: int | None = None,
        engine: str | Engine = DEFAULT_ENGINE,
    ) -> None:
        check_kind(model, str, "model", 'its name as a text, like "smollm2-135m" or "./my-model"')
        check_kind(workers, int, "workers", "how many processes train together, 1 or more")
        if not 1 <= workers <= _MOST_WORKERS:
            raise ConfigError(f"workers={workers}: how many processes train together, from 1 to {_MOST_WORKERS:,}")
        if max_parallel is not None and max_parallel < 1:
            raise ConfigError(f"max_parallel must be at least 1, not {max_parallel}")
        self._workers = workers
        self._strategy = check_strategy(strategy, self.name)
        self.model = with_template(model, chat_template)
        self._epoch_models = epoch_models
        self._max_parallel = max_parallel
        self._engine = check_engine(engine)
        self._answerer: EngineAnswerer | None = None
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"LocalBackend({self.model!r})"

    @override
    def check(self, recipe: Recipe, data: Dataset, validation: Dataset | None, *, has_cuda: bool | None = None) -> None:
        """Refuse what the local engine does not support; see :meth:`ftkit.backends.Backend.check`.

        Args:
            recipe: the recipe.
            data: training rows.
            validation: validation rows.
            has_cuda: whether the machine that trains has a CUDA GPU; None asks this one.
        """
        _check_installed("training on this machine")
        check_recipe(recipe, self._checked_source_name(), data, validation, has_cuda=has_cuda)
        if recipe.sampled_by is not None and has_cuda is None:
            recipe.sampled_by.check_installed()
        check_sharding(self._strategy, recipe, self.name)
        plugin_modules(recipe, data, validation)
        default_max_parallel()
        if recipe.grading is not None:
            recipe.grading.grader.check(setting_of(recipe))
        if isinstance(recipe.eval_metric, Grader):
            recipe.eval_metric.check(setting_of(recipe))

    @override
    def estimate(
        self,
        recipe: Recipe,
        data: Dataset,
        validation: Dataset | None,
        *,
        device: str | None = None,
        one_node: bool = True,
    ) -> Estimate:
        """Estimate a run; see :meth:`ftkit.backends.Backend.estimate`.

        Args:
            recipe: the recipe.
            data: training rows.
            validation: validation rows.
            device: a GPU of the catalogue; None is this machine.
            one_node: whether all workers are on one node.

        Returns:
            The estimate.
        """
        _check_installed("estimating a run on this machine")
        from ftkit.training.estimation.local_estimate import estimate_local_run

        check_sharding(self._strategy, recipe, self.name)
        return estimate_local_run(
            recipe,
            self._checked_source_name(),
            data,
            validation,
            device=device,
            workers=self._workers,
            strategy=self._strategy,
            one_node=one_node,
        )

    @override
    def submit(self, job: TrainingJob, store: Store) -> None:
        folder = store.run_folder(job.run_id)
        modules = plugin_modules(job.recipe, job.data, job.validation)
        day = date.today().isoformat()  # of a chat template that writes the date, and of every resumption
        rehearsal = None if job.recipe.preserve is None else open_rehearsal(job.recipe.preserve)
        more: dict[str, Any] = {}
        if self._workers > 1:
            more = {"workers": self._workers, "strategy": self._strategy}
        more |= {"rehearsal": None if rehearsal is None else rehearsal.to_spec(folder / "rehearsal"), "day": day}
        more["max_parallel"] = default_max_parallel() if self._max_parallel is None else self._max_parallel
        job.save(folder, model=self.source_name(), epoch_models=self._epoch_models, modules=modules, **more)
        lock = RunLock.acquire(folder)
        if lock is None:
            raise RunError(f"another process trains run {job.run_id}")
        start_worker(job.run_id, store, lock)

    @override
    def resume(self, record: RunRecord, store: Store) -> None:
        if not (store.run_folder(record.id) / "job.json").is_file():
            raise RunError(f"run {record.id} cannot be resumed: its job is gone from {store.run_folder(record.id)}")
        _check_installed("training on this machine")
        lock = _lock_to_resume(record, store)
        if lock is None:  # another process has resumed it
            return
        ended: tuple[RunState, ...] = ("failed", "cancelled")
        claim = {"claim": secrets.token_hex(8)}
        again: dict[str, Any] = {"state": "queued", "error": None, "finished_at": None, "handle": claim}
        try:
            if store.update(record.id, expect=ended, reason="resumed", **again).handle == claim:
                start_worker(record.id, store, lock)
        finally:
            lock.close()

    @override
    def refresh(self, record: RunRecord, store: Store) -> None:
        if record.state not in OPEN_STATES or is_alive(record, store):
            return
        # The worker may have ended properly between the two checks; then the store says so and this changes nothing.
        remove_unfinished(store.run_folder(record.id))
        summary = finished_summary(record, store)
        if summary is not None:
            store.update(record.id, expect=OPEN_STATES, state="succeeded", summary=summary, finished_at=time.time())
            return
        reason = death_message(record, store)
        changed = store.update(
            record.id,
            expect=OPEN_STATES,
            reason=reason,
            state="failed",
            error=reason,
            finished_at=time.time(),
            handle=record.handle | {"died": True},
        )
        if changed.error == reason:
            store.append(record.id, "error", {"message": reason})

    @override
    def cancel(self, record: RunRecord, store: Store) -> None:
        # Workers are also asked to end when the machine is shut down, and leave the run in the same state.
        with contextlib.suppress(StorageError), store.transaction(record.id) as run:
            record = run.record
            if record.state not in OPEN_STATES:
                return
            # A queued run ends here: its worker, which is starting, finds it cancelled and does not begin.
            ended = {"state": "cancelled", "finished_at": time.time()} if record.state == "queued" else {}
            run.update(reason="cancelled by the user", handle=record.handle | {"cancelled": True}, **ended)
        if record.state == "queued" and (process := process_of(record)) is not None:
            process.kill()
        elif record.state == "running" and is_alive(record, store):
            self._stop_worker(record, store)
        store.update(
            record.id, expect=OPEN_STATES, reason="cancelled by the user", state="cancelled", finished_at=time.time()
        )

    def _stop_worker(self, record: RunRecord, store: Store) -> None:
        process = process_of(record)
        if process is None:
            raise RunError(
                f"the worker of run {record.id} runs on another machine or in another container that uses "
                f"{store.folder}; cancel the run there"
            )
        process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + _CANCEL_TIMEOUT_S
        while is_alive(record, store) and store.get(record.id).state in OPEN_STATES:
            if time.monotonic() > deadline:
                process.kill()
                return
            time.sleep(0.1)

    @override
    def tuned_model(self, record: RunRecord, store: Store) -> str:
        if not (store.run_folder(record.id) / "model").is_dir():
            raise RunError(f"the model of run {record.id} is gone from {store.run_folder(record.id)}")
        return record.id

    @override
    def answerer(self) -> EngineAnswerer:
        with self._lock:
            if self._answerer is None:
                _check_installed("answering on this machine")
                where = self._checked_source_name()
                self._answerer = engine_of(self._engine).answerer(where)
            return self._answerer

    @override
    def weights(self) -> LocalAnswerer:
        """Return the model in this process, for what answers alone do not tell.

        Returns:
            The model, as ftkit's own engine loads it.

        Raises:
            RefusedError: another engine runs the model.
        """
        from ftkit.backends.local.answerer import LocalAnswerer

        found = self.answerer()
        if not isinstance(found, LocalAnswerer):
            raise RefusedError(
                f"{self.name}:{self.model} is run by another engine, which gives answers alone; scores and embeddings "
                "need ftkit's own engine: leave engine out",
                backend=self.name,
                fields=("engine",),
            )
        return found

    @override
    def close(self) -> None:
        """Unload the model, at once or, if somebody is asking it, afterwards. It is loaded again when it is asked."""
        if self._answerer is not None:
            self._answerer.close()

    @override
    def known_task(self) -> Task | None:
        record = Path(split_template(self.source_name())[0]).expanduser() / RECORD
        if not record.is_file():  # the base of a model that ftkit made may come later, as of weights just fetched
            self._checked_source_name()
            return None
        known = read_record(record).get("task")
        if known is None:
            return None
        try:
            return Task.model_validate(known)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise ModelError(
                f"{record}: the task of the model cannot be read ({'.'.join(map(str, first['loc']))}: {first['msg']}); "
                "give the task yourself: ft.Model(…, task)"
            ) from error

    def source_name(self) -> str:
        """Return the model's name as :func:`ftkit.modeling.model_source.find_source` takes it.

        Returns:
            For a run's id the folder of its model, else the name itself; with the chat template that replaces its own.
        """
        model, template = split_template(self.model)
        made = Store().run_folder(model) / "model"
        is_run = not Path(model).is_absolute() and made.is_dir()
        return with_template(str(made), template) if is_run else self.model

    def _checked_source_name(self) -> str:
        """Return :meth:`source_name` of a model that may exist; ModelError if it surely does not."""
        where = self.source_name()
        check_model_exists(self.model, where)
        return where


def _check_installed(needed_for: str) -> None:
    for package in _REQUIRED_PACKAGES:
        check_installed(package, extra="local", needed_for=needed_for)


def _lock_to_resume(record: RunRecord, store: Store) -> RunLock | None:
    """Wait until the run's last worker has ended, and take its lock; None if the run goes on already."""
    deadline = time.monotonic() + _RESUME_TIMEOUT_S
    while (lock := RunLock.acquire(store.run_folder(record.id))) is None:
        if store.get(record.id).state in OPEN_STATES:
            return None
        if time.monotonic() > deadline:
            raise RunError(f"the last worker of run {record.id} has not ended yet; resume it again in a moment")
    return lock
