"""The local backend: one worker process per run, found again by its process id."""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from ftkit.backends.grading import setting_of
from ftkit.backends.local.model_lookup import check_model_exists
from ftkit.backends.protocol import Backend, TrainingJob
from ftkit.data import Dataset
from ftkit.errors import RunError
from ftkit.extras import check_installed, require
from ftkit.modeling.model_source import RECORD
from ftkit.recipe import Recipe, plugin_modules
from ftkit.results.plan import Estimate
from ftkit.store import OPEN_STATES, RunRecord, RunState, Store
from ftkit.task import Message, Task
from ftkit.training.recipe_check import check_recipe

if TYPE_CHECKING:
    from ftkit.backends.local.answerer import LocalAnswerer

__all__ = ["LocalBackend"]

_CANCEL_TIMEOUT_S = 60.0
"""How long a cancelled worker may take to finish its step before it is killed."""
_EVENT = re.compile(r"\d\d:\d\d:\d\d [a-z]+ \{")
_REQUIRED_PACKAGES = ("torch", "transformers", "peft", "accelerate", "bitsandbytes", "psutil")


class LocalBackend(Backend):
    """Trains and answers on this machine, on its first CUDA device or its CPU.

    Args:
        model: ``"smollm2-135m"`` (embedded), a folder, a hub id, or the id of an earlier run.
        epoch_models: how many of the last epochs' models are kept, in the run's folder ``epochs``, besides the result.
    """

    name = "local"

    def __init__(self, model: str, *, epoch_models: int = 0) -> None:
        self.model = model
        self._epoch_models = epoch_models
        self._answerer: LocalAnswerer | None = None
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"LocalBackend({self.model!r})"

    @override
    def check(self, recipe: Recipe, data: Dataset, validation: Dataset | None) -> None:
        _check_installed("training on this machine")
        check_recipe(recipe, self._checked_source_name(), data, validation)
        plugin_modules(recipe, data, validation)
        if recipe.grading is not None:
            recipe.grading.grader.check(setting_of(recipe))

    @override
    def estimate(
        self, recipe: Recipe, data: Dataset, validation: Dataset | None, *, device: str | None = None
    ) -> Estimate:
        _check_installed("estimating a run on this machine")
        from ftkit.training.estimation.local_estimate import estimate_local_run

        return estimate_local_run(recipe, self._checked_source_name(), data, validation, device=device)

    @override
    def submit(self, job: TrainingJob, store: Store) -> None:
        folder = store.run_folder(job.run_id)
        modules = plugin_modules(job.recipe, job.data, job.validation)
        job.save(folder, model=self.source_name(), epoch_models=self._epoch_models, modules=modules)
        _start_worker(job.run_id, store)

    @override
    def resume(self, record: RunRecord, store: Store) -> None:
        if not (store.run_folder(record.id) / "job.json").is_file():
            raise RunError(f"run {record.id} cannot be resumed: its job is gone from {store.run_folder(record.id)}")
        _check_installed("training on this machine")
        ended: tuple[RunState, ...] = ("failed", "cancelled")
        claim = {"claim": secrets.token_hex(8)}  # of two who resume a run at once, one starts a worker
        again: dict[str, Any] = {"state": "queued", "error": None, "finished_at": None, "handle": claim}
        if store.update(record.id, expect=ended, reason="resumed", **again).handle == claim:
            _start_worker(record.id, store)

    @override
    def refresh(self, record: RunRecord, store: Store) -> None:
        if record.state not in OPEN_STATES or "pid" not in record.handle or _alive(record.handle):
            return
        reason = _worker_death_message(record, store)
        # The worker may have ended properly between the two looks; then the store says so and this changes nothing.
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
        process = _process(record.handle)
        # Workers are told to end when the machine is shut down, too, and leave the run in the same state.
        store.update(record.id, expect=OPEN_STATES, handle=record.handle | {"cancelled": True})
        if process is not None:
            process.send_signal(signal.SIGTERM)
            deadline = time.monotonic() + _CANCEL_TIMEOUT_S
            while _alive(record.handle) and store.get(record.id).state in OPEN_STATES:
                if time.monotonic() > deadline:
                    process.kill()
                    break
                time.sleep(0.1)
        store.update(
            record.id, expect=OPEN_STATES, reason="cancelled by the user", state="cancelled", finished_at=time.time()
        )

    @override
    def tuned_model(self, record: RunRecord, store: Store) -> str:
        if not (store.run_folder(record.id) / "model").is_dir():
            raise RunError(f"the model of run {record.id} is gone from {store.run_folder(record.id)}")
        return record.id

    @override
    def answerer(self) -> LocalAnswerer:
        with self._lock:
            if self._answerer is None:
                _check_installed("answering on this machine")
                where = self._checked_source_name()
                from ftkit.backends.local.answerer import LocalAnswerer

                self._answerer = LocalAnswerer(where)
            return self._answerer

    def scores(self, conversations: Sequence[Sequence[Message]]) -> list[float]:
        """Score conversations with a reward model that was trained on this machine.

        Args:
            conversations: each ends with an assistant turn.

        Returns:
            One score per conversation.

        Raises:
            ModelError: this is not a reward model.
            DataError: a conversation cannot be scored.
        """
        return self.answerer().scores(conversations)

    def embeddings(self, texts: Sequence[str]) -> list[list[float]]:
        """Embed texts: the mean of the model's last hidden states over the tokens of each.

        Args:
            texts: the texts.

        Returns:
            One vector per text.

        Raises:
            ModelError: the model cannot be loaded.
            DataError: a text is longer than it takes.
        """
        return self.answerer().embeddings(texts)

    def close(self) -> None:
        """Unload the model, at once or, if somebody is asking it, afterwards. It is loaded again when it is asked."""
        if self._answerer is not None:
            self._answerer.close()

    @override
    def known_task(self) -> Task | None:
        record = Path(self.source_name()).expanduser() / RECORD
        if not record.is_file():  # the base of a model that ftkit made may come later, as of weights just fetched
            self._checked_source_name()
            return None
        known = json.loads(record.read_text(encoding="utf-8")).get("task")
        return None if known is None else Task.model_validate(known)

    def source_name(self) -> str:
        """Return the model's name as :func:`ftkit.modeling.model_source.find_source` takes it.

        Returns:
            For a run's id the folder of its model, else the name itself.
        """
        made = Store().run_folder(self.model) / "model"
        is_run = not Path(self.model).is_absolute() and made.is_dir()
        return str(made) if is_run else self.model

    def _checked_source_name(self) -> str:
        """Return :meth:`source_name` of a model that may exist; ModelError if it surely does not."""
        where = self.source_name()
        check_model_exists(self.model, where)
        return where


def _start_worker(run_id: str, store: Store) -> None:
    with (store.run_folder(run_id) / "log.txt").open("ab") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "ftkit.backends.local.worker", run_id],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "FTKIT_HOME": str(store.folder), "PYTHONUNBUFFERED": "1"},
            start_new_session=True,  # a Ctrl-C in the caller's terminal is not for the worker
        )
    store.update(run_id, handle=_handle(worker.pid))
    # Waiting for it in a thread keeps it from staying a zombie while the caller lives.
    threading.Thread(target=worker.wait, name=f"ftkit-{run_id}", daemon=True).start()


def _check_installed(needed_for: str) -> None:
    for package in _REQUIRED_PACKAGES:
        check_installed(package, extra="local", needed_for=needed_for)


def _handle(pid: int) -> dict[str, Any]:
    psutil = _psutil()
    # The start time tells this process from a later one that happens to get the same id.
    try:
        return {"pid": pid, "started": psutil.Process(pid).create_time()}
    except psutil.NoSuchProcess:  # gone already; refresh will say so
        return {"pid": pid, "started": 0.0}


def _process(handle: dict[str, Any]) -> Any:
    """The worker of a handle, or ``None`` when it is not running any more."""
    psutil = _psutil()
    try:
        process = psutil.Process(handle["pid"])
        same = abs(process.create_time() - handle["started"]) < 1.0
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except (psutil.NoSuchProcess, KeyError):
        return None


def _psutil() -> Any:
    return require("psutil", extra="local", needed_for="looking after runs on this machine")


def _alive(handle: dict[str, Any]) -> bool:
    return _process(handle) is not None


def _worker_death_message(record: RunRecord, store: Store) -> str:
    """Describe a worker that died: its last step, how to resume, and the last lines of its log."""
    log = store.run_folder(record.id) / "log.txt"
    step = checkpoint = None
    for event in store.events(record.id):
        step = f"step {event.data['step']} of {event.data['steps']}" if event.kind == "step" else step
        checkpoint = event.data["step"] if event.kind == "checkpoint" else checkpoint
    again = "starts again" if checkpoint is None else f"continues from the checkpoint at step {checkpoint}"
    where = f"after {step}" if step else "before the first step"
    return (
        f"the worker process (pid {record.handle.get('pid')}) ended without a message {where}: it was killed, or the "
        f"machine ran out of memory or was switched off. `ftkit runs resume {record.id}` {again}. Its log is "
        f"{log}{_tail(log)}"
    )


def _tail(log: Path, lines: int = 5) -> str:
    """The last lines of a log that are no events, which the store has, to be put at the end of a message."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        return ""
    said = [line.strip() for line in text if line.strip() and not _EVENT.match(line)][-lines:]
    return "; it ends: " + " | ".join(said) if said else " (empty)" if not text else ""
