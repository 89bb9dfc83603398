"""Runs: started once, and found again by id from any process."""

from __future__ import annotations

import shutil

from ftkit.errors import FtkitError, RunError
from ftkit.runs.reward_signal import reward_signal
from ftkit.runs.run import Run
from ftkit.runs.trackers import Tracker
from ftkit.runs.train_run import train
from ftkit.store import OPEN_STATES, Store
from ftkit.training.reward_signal import RewardSignal

__all__ = ["RewardSignal", "Run", "Tracker", "all", "delete", "get", "reward_signal", "train"]


def get(run_id: str) -> Run:
    """Find a run.

    Args:
        run_id: its id, or a prefix that only one run's id has.

    Returns:
        The run.
    """
    store = Store()
    return Run(store.get(run_id), store)


def all() -> list[Run]:  # noqa: A001  (reads as ft.runs.all())
    """List all runs in the store.

    Returns:
        The runs, newest first.
    """
    store = Store()
    return [Run(record, store) for record in store.all()]


def delete(run_id: str) -> None:
    """Delete a run that has ended, and its files, the model included.

    Args:
        run_id: its id, or a prefix that only one run's id has.

    Raises:
        RunError: the run has not ended; cancel it first.
    """
    run = get(run_id)
    try:
        state = run.state
    except FtkitError:  # its host cannot be asked
        state = run.stored_record.state
    if state in OPEN_STATES:
        raise RunError(f"run {run.id} is {state}; cancel it first")
    shutil.rmtree(run.folder, ignore_errors=True)
    Store().delete(run.id)
