"""The base of trackers of experiment trackers: what they call a step, a metric and a configuration."""

from __future__ import annotations

import atexit
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from ftkit.runs.trackers.protocol import Tracker
from ftkit.store import Event, RunRecord, Store

__all__ = ["MetricTracker", "flat_recipe", "metrics_of", "run_config"]

_PREFIXES = {"step": "train", "validation": "eval"}
"""The names under which transformers reports to experiment trackers: ``train/loss``, ``eval/loss``."""
_NOT_METRICS = {"step", "steps"}


def metrics_of(event: Event) -> dict[str, float]:
    """Return the finite numbers of an event under the names that experiment trackers show.

    Args:
        event: an event of a run.

    Returns:
        ``train/<name>`` for steps, ``eval/<name>`` for validations and ``test/<name>`` for reports; empty for other
        events.
    """
    if event.kind == "report":
        metrics = event.data.get("metrics")
        return _numbers(metrics, "test") if isinstance(metrics, Mapping) else {}
    prefix = _PREFIXES.get(event.kind)
    if prefix is None:
        return {}
    return _numbers({name: value for name, value in event.data.items() if name not in _NOT_METRICS}, prefix)


def _numbers(values: Mapping[str, Any], prefix: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= _numbers(value, f"{prefix}/{name}")
        elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            found[f"{prefix}/{name}"] = float(value)
    return found


def run_config(run: RunRecord) -> dict[str, Any]:
    """Describe a run for an experiment tracker: its recipe, and how to find it again.

    Args:
        run: the run.

    Returns:
        Plain values by name: the fields as they were written, or, once training has begun, with a value for every
        "auto". Fields of the adapter are ``adapter.<field>``; ``ftkit_run`` is the run's id.
    """
    logged = (event.data.get("recipe") for event in Store().events(run.id))
    known = [recipe for recipe in logged if isinstance(recipe, Mapping)]
    return flat_recipe(known[-1] if known else run.recipe) | {
        "ftkit_run": run.id,
        "ftkit_show": f"ftkit runs show {run.id}",
        "backend": run.backend,
        "model": run.model,
        "rows": run.rows,
        "data_fingerprint": run.data_fingerprint,
    }


def flat_recipe(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a dumped recipe in one mapping.

    Args:
        recipe: the recipe.

    Returns:
        Its fields; those of the adapter as ``adapter.<field>``.
    """
    fields: dict[str, Any] = {}
    for name, value in recipe.items():
        if isinstance(value, Mapping) and name == "adapter":
            fields |= {f"{name}.{field}": inner for field, inner in value.items()}
        else:
            fields[name] = value
    return fields


class MetricTracker(Tracker, ABC):
    """A tracker that sends numbers by step to an experiment tracker.

    A subclass says how a run is opened there, how numbers are logged, and how the run ends. A run is opened again where
    it was left when another process goes on, when the run is resumed, and when a model that it made is evaluated.
    """

    def __init__(self) -> None:
        self._open: dict[str, Any] = {}
        self._steps: dict[str, int] = {}
        atexit.register(self.close)

    @abstractmethod
    def open(self, run: RunRecord) -> Any:
        """Begin the run at the experiment tracker, or go on with it if it is there.

        Args:
            run: the run. Its id is the run's identity there.

        Returns:
            What the other methods get as ``handle``.
        """

    @abstractmethod
    def log(self, handle: Any, metrics: dict[str, float], step: int, at: float) -> None:
        """Log numbers.

        Args:
            handle: what :meth:`open` returned.
            metrics: the numbers by name.
            step: the step of training.
            at: Unix seconds.
        """

    @abstractmethod
    def finish(self, handle: Any, run: RunRecord | None) -> None:
        """End the run at the experiment tracker and write what is not written yet.

        Args:
            handle: what :meth:`open` returned.
            run: the run; None if this process ends and the run goes on.
        """

    def link(self, run: RunRecord) -> str:
        """Say where the run is found at the experiment tracker.

        Args:
            run: the run, which was opened.

        Returns:
            An address, a folder or a command.
        """
        return ""

    def note(self, handle: Any, event: Event) -> None:
        """Take note of an event without numbers. Does nothing by default.

        Args:
            handle: what :meth:`open` returned.
            event: a warning, an error or a report, or the log event whose ``recipe`` has a value for every "auto".
        """

    @override
    def on_start(self, run: RunRecord) -> None:
        self._handle(run)

    @override
    def on_event(self, run: RunRecord, event: Event) -> None:
        step = event.data.get("step")
        if isinstance(step, int) and not isinstance(step, bool):
            self._steps[run.id] = max(step, self._steps.get(run.id, 0))
        metrics = metrics_of(event)
        if metrics:
            number = step if isinstance(step, int) else self._steps.get(run.id, 0)
            self.log(self._handle(run), metrics, number, event.at)
        if event.kind in ("warning", "error", "report") or isinstance(event.data.get("recipe"), Mapping):
            self.note(self._handle(run), event)

    @override
    def on_end(self, run: RunRecord) -> None:
        handle = self._open.pop(run.id, None)
        if handle is not None:
            self.finish(handle, run)

    def close(self) -> None:
        """End every open run in this process. What was logged is written; the runs themselves go on."""
        while self._open:
            _, handle = self._open.popitem()
            self.finish(handle, None)

    def _handle(self, run: RunRecord) -> Any:
        if run.id not in self._open:
            self._open[run.id] = self.open(run)
        return self._open[run.id]
