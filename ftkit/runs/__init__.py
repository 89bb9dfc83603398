"""Runs: started once, found again by id from anywhere."""

from __future__ import annotations

import shutil

from ftkit.errors import RunError
from ftkit.runs.reward_signal import reward_signal
from ftkit.runs.run import Run
from ftkit.runs.train_run import train
from ftkit.store import OPEN_STATES, Store
from ftkit.training.reward_signal import RewardSignal

__all__ = ["RewardSignal", "Run", "all", "delete", "get", "reward_signal", "train"]


def get(run_id: str) -> Run:
    """The run of that id (or whose id begins so), from any process.

    Raises:
        RunNotFoundError: there is none.
    """
    store = Store()
    return Run(store.get(run_id), store)


def all() -> list[Run]:  # noqa: A001  (reads as ft.runs.all())
    """All runs in the store, newest first."""
    store = Store()
    return [Run(record, store) for record in store.all()]


def delete(run_id: str) -> None:
    """Forget a run that has ended, and remove its files, the model included.

    Raises:
        RunError: it goes on; cancel it first.
    """
    run = get(run_id)
    if run.state in OPEN_STATES:
        raise RunError(f"run {run.id} is {run.state}; cancel it first")
    shutil.rmtree(run.folder, ignore_errors=True)
    Store().delete(run.id)
