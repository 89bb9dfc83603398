"""Runs: started once, and found again by id from any process."""

from __future__ import annotations

import shutil
import warnings

from ftkit.errors import FtkitError, HostError, RunError
from ftkit.runs.reward_signal import reward_signal
from ftkit.runs.run import Run
from ftkit.runs.trackers import Tracker
from ftkit.runs.train_run import train
from ftkit.store import OPEN_STATES, Store, UnreadableRunError
from ftkit.store.run_lock import is_locked
from ftkit.training.reward_signal import RewardSignal

__all__ = ["RewardSignal", "Run", "Tracker", "all", "delete", "get", "reward_signal", "train"]


def __dir__() -> list[str]:
    return sorted(__all__)


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

    A run whose record cannot be read is deleted, too, if ``run_id`` is its complete id.

    Args:
        run_id: its id, or a prefix that only one run's id has.

    Raises:
        RunError: the run has not ended; cancel it first.
        UnreadableRunError: its record cannot be read, and the id is not complete.
    """
    store = Store()
    try:
        run = get(run_id)
    except UnreadableRunError:
        full_id = store.find_id(run_id)
        if full_id is None:
            raise
        if is_locked(store.run_folder(full_id)):
            raise RunError(f"run {full_id} cannot be read, and its worker is running; end that first") from None
    else:
        full_id = run.id
        try:
            state = run.state
        except FtkitError:  # its host cannot be asked
            state = run.stored_record.state
        if state in OPEN_STATES:
            raise RunError(f"run {run.id} is {state}; cancel it first")
        _delete_there(run)
    shutil.rmtree(store.run_folder(full_id), ignore_errors=True)
    store.delete(full_id)


def _delete_there(run: Run) -> None:
    """Delete a run's files on the machine that trained it, if its backend keeps some there."""
    try:
        run.delete_there()
    except HostError as error:
        warnings.warn(
            f"run {run.id} is deleted here, and its files on the other machine are left: {error}", stacklevel=3
        )
