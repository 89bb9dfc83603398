"""The Ray backend: a run is a job of the cluster's jobs API, and its files lie on storage that both sides see."""

from __future__ import annotations

import os
import secrets
import time
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock
from typing_extensions import override

from ftkit.backends.local import LocalBackend
from ftkit.backends.own_model_backend import OwnModelBackend
from ftkit.backends.protocol import TrainingJob
from ftkit.backends.ray.cluster import STORAGE_VARIABLE, Cluster
from ftkit.backends.ray.jobs_api import (
    JobStatus,
    RunHandle,
    delete_job,
    job_log,
    job_status,
    jobs_api,
    stop_job,
    submit_job,
)
from ftkit.backends.ray.object_store import is_address
from ftkit.backends.ray.replicas import replicas_of
from ftkit.backends.ray.run_files import RunFiles
from ftkit.backends.ray.run_folder import run_files
from ftkit.backends.ray.shared_files import job_command, job_environment
from ftkit.backends.remote.answerer import RemoteAnswerer
from ftkit.backends.remote.job_description import describe_job
from ftkit.data import Dataset
from ftkit.errors import ConfigError, HostError, RefusedError, RunError
from ftkit.extras import require
from ftkit.files import home
from ftkit.recipe import Recipe
from ftkit.results.plan import Estimate
from ftkit.store import OPEN_STATES, RunRecord, RunTransaction, Store
from ftkit.store.run_lock import STARTING, is_locked
from ftkit.task import Task
from ftkit.training.sample_log import SAMPLES
from ftkit.training.strategies import check_sharding

if TYPE_CHECKING:
    from ftkit.backends.local.answerer import LocalAnswerer

__all__ = ["Ray"]

_POLL_S = 1.0
_CANCEL_S = 60.0
"""How long a cancelled job may take to finish its step before Ray stops it."""


class Ray(OwnModelBackend):
    """Trains on a Ray cluster with several workers; answers there with ``replicas``, else on this machine.

    A run is submitted through Ray's jobs API under its id, so it is started once, and any process finds it again. Each
    worker computes a share of every batch, so the losses do not depend on their number but for rounding.

    Args:
        model: the model's name as the nodes know it: a hub id, a folder on shared storage, or the id of a run there.
            Without the other arguments also what follows ``ray:`` in a backend's name.
        address: the cluster's jobs API, ``"http://head:8265"``. ``"auto"``: ``RAY_API_SERVER_ADDRESS`` or
            ``RAY_ADDRESS``, else a head on this machine.
        workers: how many workers train together.
        gpus_per_worker: 1, or 0 to train on CPUs.
        cpus_per_worker: CPUs that Ray gives each worker.
        replicas: how many copies of the model answer on the cluster, each with the GPUs and CPUs of a worker. 0: the
            model answers on this machine.
        storage: a folder that this machine and all nodes see under the same path, or an object store that all reach,
            such as ``"s3://bucket/prefix"``; ``FTKIT_RAY_STORAGE`` by default.
        strategy: how they hold the model: ``"ddp"``, each all of it, or ``"fsdp2"``, each a part.
    """

    name = "ray"

    def __init__(
        self,
        model: str,
        *,
        address: str | None = None,
        workers: int | None = None,
        gpus_per_worker: int | None = None,
        cpus_per_worker: float | None = None,
        replicas: int | None = None,
        storage: str | os.PathLike[str] | None = None,
        strategy: str | None = None,
    ) -> None:
        cluster, there = Cluster.split(model)
        given: dict[str, Any] = {
            "address": address,
            "workers": workers,
            "gpus_per_worker": gpus_per_worker,
            "cpus_per_worker": cpus_per_worker,
            "replicas": replicas,
            "storage": None if storage is None else os.fspath(storage),
            "strategy": strategy,
        }
        self.cluster = replace(cluster, **{name: value for name, value in given.items() if value is not None})
        self.model = f"{self.cluster}#{there}"
        self._there = there
        self._next_look: dict[str, float] = {}

    def __repr__(self) -> str:
        return f"Ray({self.model!r})"

    @override
    def check(self, recipe: Recipe, data: Dataset, validation: Dataset | None) -> None:
        require("ray.job_submission", extra="ray", needed_for="training on a Ray cluster")
        if not Path(self._there).is_absolute() and Path(self._there).is_dir():
            raise ConfigError(f"ray: {self._there!r} is a folder here; write the absolute path that the nodes see, too")
        run_files(str(self.cluster.with_storage().storage), "").check()
        check_sharding(self.cluster.strategy, recipe, self.name)
        LocalBackend(self._source_name()).check(recipe, data, validation, has_cuda=self.cluster.gpus_per_worker > 0)
        with jobs_api(self.cluster.url()) as api:
            api.get_version()

    @override
    def estimate(
        self, recipe: Recipe, data: Dataset, validation: Dataset | None, *, device: str | None = None
    ) -> Estimate:
        check_sharding(self.cluster.strategy, recipe, self.name)
        if device is None or not self.cluster.gpus_per_worker:
            raise RefusedError(
                "ray: a plan is for workers with a GPU each (gpus_per_worker=1), and the cluster is not asked; name "
                'its GPUs, as in device="8xh100-80gb@8xinfiniband-ndr"',
                backend=self.name,
                fields=("device" if device is None else "gpus_per_worker",),
            )
        return LocalBackend(self._source_name(), workers=self.cluster.workers, strategy=self.cluster.strategy).estimate(
            recipe, data, validation, device=device, one_node=False
        )

    @override
    def submit(self, job: TrainingJob, store: Store) -> None:
        cluster = self.cluster.with_storage()
        job.save(store.run_folder(job.run_id), model=self._there)
        handle = RunHandle(url=cluster.url(), storage=str(cluster.storage), key=secrets.token_hex(8))
        with store.transaction(job.run_id) as run:
            run.update(handle=handle.model_dump())
        self._send(job, handle, store)

    def _send(self, job: TrainingJob, handle: RunHandle, store: Store) -> None:
        """Write the job to the storage and submit it; doing it twice starts one job."""
        record = store.get(job.run_id)
        folder = run_files(handle.storage, job.run_id)
        with folder.locked(store.run_folder(job.run_id)):
            described = describe_job(
                job.recipe,
                job.data,
                job.validation,
                folder.keep,
                backend=self.name,
                machine="the cluster",
            )
            made = {
                "run_id": record.id,
                "task": record.task,
                "task_fingerprint": job.data.task.fingerprint,
                "data_fingerprint": record.data_fingerprint,
                "rows": record.rows,
            }
            shared = {"model": self._source_name(), "record": made, "day": date.today().isoformat()}
            if is_address(handle.storage) and shared["model"] != self._there:  # the nodes fetch it, too
                shared["made_by"] = self._there
            folder.write_job({**described, **shared, "cluster": asdict(self.cluster)})
            self._start(record.id, handle, folder)

    def _start(self, run_id: str, handle: RunHandle, folder: RunFiles) -> None:
        folder.begin()
        command = job_command("ftkit.backends.ray.job", handle.storage, run_id)
        submit_job(run_id, handle, command, job_environment(handle.storage))

    @override
    def refresh(self, record: RunRecord, store: Store) -> None:
        if record.state not in OPEN_STATES or time.monotonic() < self._next_look.get(record.id, 0.0):
            return
        if is_locked(store.run_folder(record.id), STARTING):
            return
        self._next_look[record.id] = time.monotonic() + _POLL_S
        if "key" not in record.handle:
            self._end(record, store, {"state": "failed", "error": "it was cut off before anything was submitted"})
            return
        handle = RunHandle.model_validate(record.handle)
        folder = run_files(handle.storage, record.id)
        ended = folder.ended()  # before the events, so that those of its end are among them
        status = None if ended is not None else job_status(record.id, handle)
        if status is not None and status.state == "ended":  # it may have said so in this moment
            again = f"`ftkit runs resume {record.id}` goes on from its newest checkpoint"
            ended = folder.ended() or {"state": "failed", "error": f"{status.message}. {again}", "died": True}
        while self._copy(record, store, folder):
            pass
        folder.copy_samples(store.run_folder(record.id) / SAMPLES, whole=ended is not None)
        if ended is None and status is not None:
            self._note_status(record, store, status)
        if ended is not None:
            self._copy_log(record, store)
            self._end(record, store, ended)

    def _note_status(self, record: RunRecord, store: Store, status: JobStatus) -> None:
        """Say once that the cluster cannot be asked; note that the job runs."""
        with store.transaction(record.id) as run:
            handle = RunHandle.model_validate(run.record.handle)
            down = status.state == "unknown"
            if down and not handle.down:
                run.append("warning", {"message": f"{status.message}; it is asked again, and the run may go on there"})
            if down != handle.down:
                run.update(handle=handle.model_copy(update={"down": down}).model_dump())
            if status.state == "running" and run.record.state == "queued":
                run.update(state="running")

    def _copy(self, record: RunRecord, store: Store, folder: RunFiles) -> bool:
        """Copy a page of events; return whether there were any."""
        with store.transaction(record.id) as run:
            handle = RunHandle.model_validate(run.record.handle)
            read = handle.read
            for read, event in folder.events(handle.read):
                run.append(event["kind"], event["data"], source_id=f"{handle.key}-{read}", at=event["at"])
            if read > handle.read:
                run.update(handle=handle.model_copy(update={"read": read}).model_dump())
        return read > handle.read

    def _copy_log(self, record: RunRecord, store: Store) -> None:
        """Copy the log of the job, for commands that read it here; say why, if it cannot be fetched."""
        handle = RunHandle.model_validate(record.handle)
        try:
            log = job_log(record.id, handle)
        except HostError as error:
            with store.transaction(record.id) as run:
                message = f"the log of the job is not in log.txt: {error}"
                run.append("warning", {"message": message}, source_id=f"{handle.key}-log-{handle.attempt}")
            return
        (store.run_folder(record.id) / "log.txt").write_text(log, encoding="utf-8")

    def _end(self, record: RunRecord, store: Store, ended: dict[str, Any]) -> None:
        with store.transaction(record.id) as run:
            _finish(run, ended)

    @override
    def resume(self, record: RunRecord, store: Store) -> None:
        folder = store.run_folder(record.id)
        if "key" not in record.handle or not (folder / "job.json").is_file():
            raise RunError(f"run {record.id} cannot be resumed: it was never submitted; start it again")
        with FileLock(folder / "submit.lock"):
            record = store.get(record.id)
            if record.state in OPEN_STATES:
                return
            handle = RunHandle.model_validate(record.handle)
            stop_job(record.id, handle)
            handle = handle.model_copy(update={"attempt": handle.attempt + 1})
            again: dict[str, Any] = {"state": "queued", "error": None, "finished_at": None}
            shared = run_files(handle.storage, record.id)
            shared.begin()  # what the last job wrote is not taken for the end of the next one
            store.update(record.id, reason="resumed", handle=handle.model_dump(), **again)
            try:
                if shared.has_job():
                    self._start(record.id, handle, shared)
                else:
                    self._send(TrainingJob.saved(record, folder), handle, store)
            except Exception as error:
                self._end(store.get(record.id), store, {"state": "failed", "error": f"could not be submitted: {error}"})
                raise

    @override
    def cancel(self, record: RunRecord, store: Store) -> None:
        if "key" in record.handle:
            handle = RunHandle.model_validate(record.handle)
            folder = run_files(handle.storage, record.id)
            folder.ask_to_stop()
            deadline = time.monotonic() + _CANCEL_S
            while time.monotonic() < deadline and folder.has_begun() and folder.ended() is None:
                if job_status(record.id, handle).state in ("ended", "pending"):
                    break
                time.sleep(0.2)
            stop_job(record.id, handle)
            if folder.ended() is not None:
                self._next_look.pop(record.id, None)
                self.refresh(store.get(record.id), store)
        store.update(
            record.id, expect=OPEN_STATES, reason="cancelled by the user", state="cancelled", finished_at=time.time()
        )

    def delete_run(self, record: RunRecord) -> None:
        """Delete a run that has ended, with its files on the storage and its jobs at the cluster.

        Args:
            record: the run.
        """
        if "key" in record.handle:
            handle = RunHandle.model_validate(record.handle)
            delete_job(record.id, handle)
            run_files(handle.storage, record.id).delete()

    @override
    def tuned_model(self, record: RunRecord, store: Store) -> str:
        handle = RunHandle.model_validate(record.handle)
        if not run_files(handle.storage, record.id).has_model():
            raise RunError(f"the model of run {record.id} is gone from {handle.storage}")
        return f"{replace(self.cluster, storage=handle.storage)}#{record.id}"

    def download(self, record: RunRecord, folder: Path) -> None:
        """Copy the model of a succeeded run from the storage.

        Args:
            record: the run.
            folder: a new or empty folder.

        Raises:
            RunError: the folder is not empty, or the model is gone.
        """
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise RunError(f"{folder} is not an empty folder; name a new one for the weights")
        storage = RunHandle.model_validate(record.handle).storage
        made = run_files(storage, record.id)
        if not made.has_model():
            raise RunError(f"the model of run {record.id} is gone from {storage}")
        made.fetch_model(folder.absolute())

    @override
    def answerer(self) -> LocalAnswerer | RemoteAnswerer:
        if self.cluster.replicas:
            cluster = self.cluster.with_storage()
            there = is_address(str(cluster.storage))  # the nodes fetch it by its name
            return RemoteAnswerer(replicas_of(cluster), self._there if there else self._source_name())
        return LocalBackend(self._source_name()).weights()

    @override
    def known_task(self) -> Task | None:
        return LocalBackend(self._source_name()).known_task()

    def _source_name(self) -> str:
        """The model as a name of the local backend: for a run's id its folder, fetched from an object store."""
        storage = self.cluster.storage or os.environ.get(STORAGE_VARIABLE)
        if not storage or "/" in self._there:
            return self._there
        made = run_files(storage, self._there).local_model(home() / "ray" / "models")
        return self._there if made is None else str(made)


def _finish(run: RunTransaction, ended: dict[str, Any]) -> None:
    if run.record.state not in OPEN_STATES:
        return
    error = ended.get("error")
    run.update(
        reason=ended.get("reason") or error,
        state=ended["state"],
        summary=ended.get("summary") or {},
        error=error,
        finished_at=time.time(),
        handle=run.record.handle | ({"died": True} if ended.get("died") else {}),
    )
    if error is not None:
        run.append("error", {"message": error})
