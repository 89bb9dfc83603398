"""``sweep``: train each recipe on each backend, evaluate every model on the same rows, and compare."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ftkit.arguments import check_amount, check_kind, explain_calls
from ftkit.backends import Backend, backend_of
from ftkit.counts import counted
from ftkit.data import Dataset, check_dataset
from ftkit.errors import ConfigError, DataError, FtkitError, RunError, RunNotFoundError
from ftkit.evaluation.answer_journal import answers_kept
from ftkit.evaluation.evaluator import evaluate
from ftkit.evaluation.leaderboard import rank_reports
from ftkit.evaluation.sweeps.budget import TrialCost, check_budget, trial_cost
from ftkit.evaluation.sweeps.state import SweepFolder, Trial, make_trials, option_digest
from ftkit.linting.training_gate import refuse_errors
from ftkit.progress import ProgressBar
from ftkit.recipe import Recipe, expand_grid, parse_recipe
from ftkit.results.overview import Overview
from ftkit.results.report import Report
from ftkit.runs import Run, train
from ftkit.runs.trackers import check_trackers
from ftkit.runs.train_run import check_job
from ftkit.store import OPEN_STATES, Store

__all__ = ["sweep"]

_POLL_S = 0.5
_QUEUED = 8
"""Runs on machines of one's own that wait there at once, each a process. Others are started when these have ended."""


@explain_calls(
    instead='ft.sweep(recipe, train, test, backends="local:smollm2-135m", grid={"learning_rate": [1e-4, 3e-4]})'
)
def sweep(
    recipes: Recipe | Sequence[Recipe],
    data: Dataset,
    test: Dataset,
    *,
    backends: str | Backend | Sequence[str | Backend],
    grid: Mapping[str, Sequence[Any]] | None = None,
    validation: Dataset | None = None,
    max_cost: float | None = None,
    name: str | None = None,
    trackers: Sequence[str] = (),
    lint: bool = True,
    margin: float | None = None,
    progress: bool = True,
    **options: Any,
) -> Overview:
    """Train each recipe on each backend, evaluate every model on the same rows, and compare them.

        ft.sweep(
            ft.SFT(epochs=2),
            train,
            test,
            backends="local:smollm2-135m",
            grid={"learning_rate": [1e-4, 3e-4, 1e-3], "adapter.rank": [4, 16]},
        )

    Runs on this machine train one after another, in the order of the trials; runs at hosts, and on a cluster that has
    room for several, train side by side. Models on this machine are evaluated when no run of the sweep trains there.

    Nothing is lost when the script ends: runs go on, those that wait included, and the same call goes on with the
    sweep. It starts no finished trial again. A trial that failed stays failed until its run is deleted.

    Args:
        recipes: a recipe, or several.
        data: the training rows.
        test: the held-out rows.
        backends: where to train, as ``"name:model"`` or backend objects.
        grid: values by field of the recipe, for example ``{"adapter.rank": [8, 16]}``; each combination is a trial.
        validation: rows that are evaluated during training.
        max_cost: the most that the whole sweep may cost, in US dollars: training and answers. It is refused before
            anything starts if its known prices exceed it, or a price is not known. Training here costs nothing.
        name: name of the sweep: letters, digits and ``-``. Derived from recipes, backends and rows by default. Its runs
            have ids and a tag with this name.
        trackers: names of trackers for every run, as for :func:`ftkit.train`.
        lint: refuse rows with errors first, as :func:`ftkit.train` does.
        margin: largest acceptable loss, as for :func:`ftkit.overview`.
        progress: whether to show the progress.
        options: as for :func:`ftkit.evaluate`; without probes unless they are given.

    Returns:
        The overview: the fields in which the trials differ as columns, quality against the cost of training (its time
        where no prices are known), the Pareto front, and which trials failed.

    Raises:
        ConfigError: no trials, a wrong field or value, or a name that belongs to another sweep.
        RefusedError: a backend refuses a recipe, or the sweep costs more than ``max_cost``. Nothing was started.
        DataError: there are rows that cannot be trained on.
        RunError: no trial has a model, or another process works on the sweep.
        KeyboardInterrupt: Ctrl-C was pressed.
    """
    check_dataset(data)
    check_dataset(test, "test")
    check_amount(max_cost, "max_cost")
    places = _places(backends)
    expanded = _recipes(recipes, grid)
    if isinstance(trackers, str) or not all(isinstance(one, str) for one in trackers):
        raise ConfigError('trackers of a sweep are names, e.g. ["trackio"]: its runs outlive this process')
    check_trackers(trackers)
    for recipe in expanded:
        check_job(recipe, data, validation)
    if not len(test):
        raise DataError("there are no test rows")
    options = {"probes": None, **options}
    settings = {
        "recipes": [recipe.model_dump(mode="json") for recipe in expanded],
        "backends": list(places),
        "data": data.fingerprint,
        "validation": None if validation is None else validation.fingerprint,
    }
    with SweepFolder.opened(name, settings, make_trials(expanded, list(places))) as folder:
        work = _Sweep(folder, places, data, validation, test, tuple(trackers), options)
        work.check(lint=lint, max_cost=max_cost)
        with ProgressBar(f"sweep {folder.name}", len(folder.state.trials), enabled=progress, transient=False) as bar:
            bar.print(f"sweep {folder.name}: {counted(len(folder.state.trials), 'trial')}")
            try:
                work.run(bar)
            except KeyboardInterrupt:
                bar.print(
                    f"the runs of sweep {folder.name} continue; the same call goes on with it, and `ftkit runs --where "
                    f"tag={folder.name}` lists them"
                )
                raise
        return work.overview(margin)


@dataclass
class _Sweep:
    """A sweep at work."""

    folder: SweepFolder
    places: Mapping[str, Backend]
    data: Dataset
    validation: Dataset | None
    test: Dataset
    trackers: tuple[str, ...]
    options: dict[str, Any]
    reports: dict[int, Report] = field(default_factory=dict)
    store: Store = field(default_factory=Store)
    caps: dict[int, float] = field(default_factory=dict)
    """The most that trials may cost whose host states the price, in US dollars."""

    @property
    def evaluated_with(self) -> str:
        """Digest of the test rows and the options."""
        return option_digest(self.test.fingerprint, self.options)

    def check(self, *, lint: bool, max_cost: float | None) -> None:
        """Refuse what cannot be trained, or costs too much, before anything is started."""
        spent, costs, linted = 0.0, dict[int, TrialCost](), set[str]()
        for trial in self.folder.state.trials:
            report = self.folder.report(trial, self.evaluated_with)
            run = self._run_of(trial)
            if report is not None and run is not None:
                self.reports[trial.number] = report
                spent += (run.stored_record.summary.get("cost_usd") or 0.0) + (report.cost.total_usd or 0.0)
                continue
            place, recipe = self.places[trial.backend], parse_recipe(trial.recipe)
            if run is None:
                place.check(recipe, self.data, self.validation)
                if lint and trial.backend not in linted:
                    linted.add(trial.backend)
                    refuse_errors(self.data, self.validation, backend=place)
            cost = trial_cost(trial.label, place, recipe, self.data, self.validation, self.test)
            if cost is not None:
                costs[trial.number] = cost
        if max_cost is not None:
            share = check_budget(list(costs.values()), spent_usd=spent, max_cost=max_cost)
            self.caps = {number: share for number, cost in costs.items() if cost.by_host}

    def run(self, bar: ProgressBar) -> None:
        """Start every run, wait for them, and evaluate each model."""
        waiting = [trial for trial in self.folder.state.trials if trial.number not in self.reports]
        started: dict[int, Run] = {}
        for trial in waiting:
            trial.problem = None  # what failed is tried again, as far as that costs nothing
        while waiting:
            self._start(waiting, started, bar)
            open_local = False
            ended = []
            for trial in waiting:
                run = started.get(trial.number)
                if run is None and trial.problem is None:
                    continue
                if run is not None and run.state in OPEN_STATES:
                    open_local = open_local or self._is_local(trial)
                    continue
                ended.append(trial)
            ready = [trial for trial in ended if not (open_local and self._is_local(trial))]
            for trial in ready:
                self._finish(trial, started.get(trial.number), bar)
                waiting.remove(trial)
            states = [run.stored_record.state for run in started.values()]
            detail = ", ".join(
                f"{states.count(state)} {state}" for state in ("queued", "running") if states.count(state)
            )
            bar.update(completed=len(self.folder.state.trials) - len(waiting), detail=detail)
            if waiting and not ready:
                time.sleep(_POLL_S)

    def overview(self, margin: float | None) -> Overview:
        """Compare the trials that have a report."""
        trials = [trial for trial in self.folder.state.trials if trial.number in self.reports]
        failed = [trial for trial in self.folder.state.trials if trial.number not in self.reports]
        notes = [f"trial {trial.number} ({trial.label}) has no report: {trial.problem}" for trial in failed]
        if not trials:
            raise RunError(f"no trial of sweep {self.folder.name} has a model: " + "; ".join(notes))
        reports = [self.reports[trial.number].model_copy(update={"label": trial.label}) for trial in trials]
        summaries = [self.store.get(trial.run).summary for trial in trials]
        dollars = [report.cost.training_usd for report in reports]
        seconds = [summary.get("training_seconds") for summary in summaries]
        prices: Sequence[float | None] | None = None
        title = None
        if all(usd is not None for usd in dollars):
            prices, title = dollars, "$ of training"
        elif all(isinstance(one, int | float) for one in seconds):
            prices, title = seconds, "seconds of training"
        if len(trials) > 2:
            notes.append("the score of the best of many trials is too high on average; confirm it on other rows")
        return rank_reports(
            reports,
            margin=margin,
            fields=[{"trial": trial.number, **trial.fields} for trial in trials],
            runs=[trial.run for trial in trials],
            prices=prices,
            price=title,
            notes=notes,
        )

    def _start(self, waiting: Sequence[Trial], started: dict[int, Run], bar: ProgressBar) -> None:
        """Start the runs that are not started: all at hosts, and on other machines as many as may wait there."""
        for trial in waiting:
            if trial.number in started or trial.problem is not None:
                continue
            if not self._charges(trial):
                there = [run.stored_record for run in started.values()]
                name = self.places[trial.backend].name
                if sum(record.backend == name and record.state in OPEN_STATES for record in there) >= _QUEUED:
                    continue
            try:
                started[trial.number] = self._running(trial)
            except FtkitError as error:
                self.folder.set_problem(trial, str(error))
                bar.print(f"trial {trial.number} ({trial.label}) cannot be started: {error}")
            else:
                bar.print(f"trial {trial.number} ({trial.label}): run {trial.run}")

    def _is_local(self, trial: Trial) -> bool:
        return self.places[trial.backend].name == "local"

    def _charges(self, trial: Trial) -> bool:
        """Whether training costs money: only backends that charge have a ``quote``."""
        return hasattr(self.places[trial.backend], "quote")

    def _new_run(self, trial: Trial) -> Run:
        return train(
            parse_recipe(trial.recipe),
            self.data,
            backend=self.places[trial.backend],
            validation=self.validation,
            lint=False,  # all rows were checked before the first run
            max_cost=self.caps.get(trial.number),
            run_id=trial.run,
            name=trial.label[:128],
            tags=[self.folder.name],
            trackers=self.trackers,
        )

    def _run_of(self, trial: Trial) -> Run | None:
        """The trial's run, if it was started."""
        try:
            return Run(self.store.get(trial.run), self.store, self.places[trial.backend], self.data.task)
        except RunNotFoundError:
            return None

    def _running(self, trial: Trial) -> Run:
        """The trial's run, started if it was not. One that was cancelled or has died goes on where training is free."""
        run = self._run_of(trial)
        if run is None:
            return self._new_run(trial)
        record = run.record
        interrupted = record.state == "cancelled" or (record.state == "failed" and record.handle.get("died"))
        return run.resume() if interrupted and not self._charges(trial) else run

    def _finish(self, trial: Trial, run: Run | None, bar: ProgressBar) -> None:
        """Evaluate the model of a run that has ended."""
        if run is None:
            return  # it could not be started
        record = run.record
        if record.state != "succeeded":
            self.folder.set_problem(trial, f"run {run.id} {record.state}: {record.error or 'no reason is known'}")
            bar.print(f"trial {trial.number} ({trial.label}): {trial.problem}")
            return
        with answers_kept():
            try:
                report = evaluate(run.model, self.test, label=trial.label, **{"progress": False, **self.options})
            except FtkitError as error:
                self.folder.set_problem(trial, f"its model could not be evaluated: {error}")
                bar.print(f"trial {trial.number} ({trial.label}): {trial.problem}")
                return
            finally:
                if not self._charges(trial):
                    run.model.close()  # the next run needs the memory
            self.reports[trial.number] = report
            self.folder.add_report(trial, report, self.evaluated_with)
        headline = report[report.primary]
        value = "no value" if headline.value is None else f"{headline.value:.4g}"
        bar.print(f"trial {trial.number} ({trial.label}): {report.primary} {value}")


def _recipes(recipes: Recipe | Sequence[Recipe], grid: Mapping[str, Sequence[Any]] | None) -> list[Recipe]:
    given = [recipes] if isinstance(recipes, Recipe) else recipes
    if isinstance(given, str) or not isinstance(given, Sequence):
        check_kind(given, (), "recipes", "a recipe such as ft.SFT(epochs=2), or a list of them")
    for recipe in given:
        check_kind(recipe, Recipe, "recipes", "recipes such as ft.SFT(epochs=2)")
    if grid is not None:
        check_kind(grid, Mapping, "grid", 'values by field: {"learning_rate": [1e-4, 3e-4]}')
        given = [changed for recipe in given for changed in expand_grid(recipe, grid)]
    if not given:
        raise ConfigError("recipes: there is nothing to train")
    return list(given)


def _places(backends: str | Backend | Sequence[str | Backend]) -> dict[str, Backend]:
    """The backends by ``"name:model"``."""
    given = [backends] if isinstance(backends, str) or not isinstance(backends, Sequence) else list(backends)
    if not given:
        raise ConfigError('backends: name at least one, e.g. "local:smollm2-135m"')
    found = [backend_of(one) for one in given]
    return {f"{backend.name}:{backend.model}": backend for backend in found}
