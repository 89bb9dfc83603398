"""Runs: started once, and found again by id from any process."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ftkit.errors import ConfigError, FtkitError, HostError, RunError
from ftkit.results.metric_table import MetricCurves, MetricTable, curves_of
from ftkit.runs.reward_signal import reward_signal
from ftkit.runs.run import Run
from ftkit.runs.run_table import run_table, sorted_rows
from ftkit.runs.trackers import Tracker
from ftkit.runs.train_run import train
from ftkit.store import OPEN_STATES, Store, UnreadableRunError
from ftkit.store.run_lock import is_locked
from ftkit.training.reward_signal import RewardSignal

__all__ = ["RewardSignal", "Run", "Tracker", "all", "delete", "get", "plot", "reward_signal", "table", "train"]


_OTHER_NAMES = {
    "find": "get",
    "latest": "all",
    "list": "all",
    "load": "get",
    "remove": "delete",
    "search": "all",
    "start": "train",
}


def __dir__() -> list[str]:
    return sorted(__all__)


if not TYPE_CHECKING:  # a type checker must see that a name does not exist

    def __getattr__(name: str) -> object:
        ours = _OTHER_NAMES.get(name)
        meant = f"ft.runs.{ours}()" if ours else f"it has {', '.join(sorted(__all__))}"
        raise AttributeError(f"module 'ftkit.runs' has no attribute {name!r}; {f'use {meant}' if ours else meant}")


def get(run_id: str) -> Run:
    """Find a run.

    Args:
        run_id: its id, or a prefix that only one run's id has.

    Returns:
        The run.
    """
    store = Store()
    return Run(store.get(run_id), store)


def all(*where: str) -> list[Run]:  # noqa: A001  (reads as ft.runs.all())
    """List the runs in the store.

    Args:
        *where: conditions that a run must meet, as for :func:`table`.

    Returns:
        The runs, newest first.
    """
    store = Store()
    records = store.all()
    if where:
        wanted = {row["id"] for row in run_table(records, store, where)}
        records = [record for record in records if record.id in wanted]
    return [Run(record, store) for record in records]


def table(*where: str, sort: str | None = None) -> MetricTable:
    """Make a table of the runs, with their learning rates, ranks, last losses and scores.

        ft.runs.table("state=succeeded", "adapter.rank>=8", sort="-score").to_pandas()

    It shows the runs as they were when they were polled last. The score of a run is the headline metric of the last
    report of its model.

    Args:
        *where: conditions that a run must meet: a column or a field of the recipe, ``=``, ``!=``, ``<``, ``<=``, ``>``,
            ``>=`` or ``~`` (contains), and a value. ``tag=baseline`` finds runs by a tag.
        sort: column to sort by; ``"-score"`` puts the largest first. The newest run is first by default.

    Returns:
        A row for each run.

    Raises:
        ConfigError: a condition has a wrong form, or names a field that no run has.
    """
    store = Store()
    rows = run_table(store.all(), store, where)
    return rows if sort is None or not rows else sorted_rows(rows, sort)


def plot(*run_ids: str, metrics: Sequence[str] = ()) -> MetricCurves:
    """Draw the metrics of several runs in the same plots.

    Args:
        *run_ids: ids of runs, or unique prefixes of them.
        metrics: names of metrics; the reward, the loss and the token accuracy by default.

    Returns:
        The curves: notebooks show them, ``save("runs.svg")`` writes them.

    Raises:
        ConfigError: no run is named, or a metric has no numbers.
    """
    if not run_ids:
        raise ConfigError("name at least one run: ft.runs.plot(run.id)")
    runs = [get(run_id) for run_id in run_ids]
    names = [run.name for run in runs]
    labels = [run.name if run.name and names.count(run.name) == 1 else run.id for run in runs]
    tables = [run.metrics for run in runs]
    return curves_of(list(zip(labels if len(runs) > 1 else [""], tables, strict=True)), metrics)


def delete(*run_ids: str) -> None:
    """Delete runs that have ended, and their files, the models included.

    A run whose record cannot be read is deleted, too, if its complete id is given. If one of the runs cannot be
    deleted, none is.

    Args:
        *run_ids: their ids, or prefixes that only one run's id has.

    Raises:
        RunError: a run has not ended; cancel it first.
        UnreadableRunError: a record cannot be read, and the id is not complete.
    """
    store = Store()
    for full_id, run in [_deletable(run_id, store) for run_id in dict.fromkeys(run_ids)]:
        if run is not None:
            _delete_there(run)
        shutil.rmtree(store.run_folder(full_id), ignore_errors=True)
        store.delete(full_id)


def _deletable(run_id: str, store: Store) -> tuple[str, Run | None]:
    """The complete id of a run that may be deleted, and the run if it can be read."""
    try:
        run = get(run_id)
    except UnreadableRunError:
        full_id = store.find_id(run_id)
        if full_id is None:
            raise
        if is_locked(store.run_folder(full_id)):
            raise RunError(f"run {full_id} cannot be read, and its worker is running; end that first") from None
        return full_id, None
    try:
        state = run.state
    except FtkitError:  # its host cannot be asked
        state = run.stored_record.state
    if state in OPEN_STATES:
        raise RunError(f"run {run.id} is {state}; cancel it first")
    return run.id, run


def _delete_there(run: Run) -> None:
    """Delete a run's files on the machine that trained it, if its backend keeps some there."""
    try:
        run.delete_there()
    except HostError as error:
        warnings.warn(
            f"run {run.id} is deleted here, and its files on the other machine are left: {error}", stacklevel=3
        )
