"""``mlflow``: MLflow, at a tracking server or in files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from ftkit.extras import require
from ftkit.runs.trackers.metric_tracker import MetricTracker, flat_recipe, run_config
from ftkit.store import Event, RunRecord

__all__ = ["MlflowTracker"]

_STATUS = {"succeeded": "FINISHED", "failed": "FAILED", "cancelled": "KILLED"}
_LONGEST_PARAMETER = 500
"""Characters of a parameter that every version of MLflow's server takes."""
_RUN_TAG = "ftkit.run"


class MlflowTracker(MetricTracker):
    """Logs runs to MLflow.

    MLflow's own environment variables apply: ``MLFLOW_TRACKING_URI``, ``MLFLOW_EXPERIMENT_NAME``.

    Args:
        experiment: name of the experiment; ``MLFLOW_EXPERIMENT_NAME``, or ``ftkit``, by default.
    """

    def __init__(self, experiment: str | None = None) -> None:
        mlflow = require("mlflow", extra="mlflow", needed_for="the tracker mlflow")
        self._entities = require("mlflow.entities", extra="mlflow", needed_for="the tracker mlflow")
        self.experiment = experiment or os.environ.get("MLFLOW_EXPERIMENT_NAME") or "ftkit"
        self._client = mlflow.MlflowClient()
        self._uri = str(mlflow.get_tracking_uri())
        self._links: dict[str, str] = {}
        super().__init__()

    @override
    def open(self, run: RunRecord) -> str:
        found = self._client.get_experiment_by_name(self.experiment)
        experiment = self._client.create_experiment(self.experiment) if found is None else found.experiment_id
        known = self._client.search_runs([experiment], f"tags.`{_RUN_TAG}` = '{run.id}'", max_results=1)
        if known:
            handle = str(known[0].info.run_id)
            self._client.update_run(handle, status="RUNNING")
        else:
            handle = self._create(run, experiment)
        if self._uri.startswith("http"):
            self._links[run.id] = f"{self._uri.rstrip('/')}/#/experiments/{experiment}/runs/{handle}"
        else:
            self._links[run.id] = f"run {handle} in {self._uri}"
        return handle

    def _create(self, run: RunRecord, experiment: str) -> str:
        tags = {_RUN_TAG: run.id} | {f"ftkit.tag.{tag}": "true" for tag in run.tags}
        if run.notes:
            tags["mlflow.note.content"] = run.notes
        made = self._client.create_run(
            experiment, start_time=round(run.created_at * 1000), tags=tags, run_name=run.name or run.id
        )
        handle = str(made.info.run_id)
        self._log_parameters(handle, run_config(run))
        return handle

    def _log_parameters(self, handle: str, values: Mapping[str, Any]) -> None:
        parameters = [
            self._entities.Param(name, str(value)[:_LONGEST_PARAMETER])
            for name, value in values.items()
            if value != "auto"  # a parameter cannot be changed; its number follows when training begins
        ]
        for first in range(0, len(parameters), 100):
            self._client.log_batch(handle, params=parameters[first : first + 100])

    @override
    def log(self, handle: str, metrics: dict[str, float], step: int, at: float) -> None:
        numbers = [
            self._entities.Metric(_allowed(name), value, round(at * 1000), step) for name, value in metrics.items()
        ]
        self._client.log_batch(handle, metrics=numbers[:1000])

    @override
    def note(self, handle: str, event: Event) -> None:
        if event.kind in ("report", "error"):
            what = event.data.get("label" if event.kind == "report" else "message", "")
            self._client.set_tag(handle, f"ftkit.{event.kind}", str(what)[:_LONGEST_PARAMETER])
        elif "recipe" in event.data:
            known = self._client.get_run(handle).data.params
            found = flat_recipe(event.data["recipe"])
            self._log_parameters(handle, {name: value for name, value in found.items() if name not in known})

    @override
    def finish(self, handle: str, run: RunRecord | None) -> None:
        if run is not None:  # each call is written at once, so a process that ends leaves nothing open
            self._client.set_terminated(handle, status=_STATUS.get(run.state, "RUNNING"))

    @override
    def link(self, run: RunRecord) -> str:
        return self._links.get(run.id, "")


def _allowed(name: str) -> str:
    """The name with the characters that MLflow takes: letters, digits, ``_-./`` and blanks."""
    return "".join(letter if letter.isalnum() or letter in "_-./ " else "_" for letter in name)
