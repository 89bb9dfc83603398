"""The run that trained a model: its cost and its losses."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from typing import Any

from ftkit import runs
from ftkit.errors import FtkitError
from ftkit.files import home
from ftkit.results.report import Report
from ftkit.results.resources import TrainingCurve

__all__ = ["note_report", "run_that_made", "training_cost", "training_curve"]

_MAX_POINTS = 400  # points of a curve


def run_that_made(name: str) -> runs.Run | None:
    """Find the run that trained a model.

    Args:
        name: ``"backend:<run id>"``, or ``"backend:"`` and the name that a host gave to the tuned model.

    Returns:
        The run; None if this machine's store does not know it.
    """
    backend, _, model = name.partition(":")
    if not model or not (home() / "runs.sqlite3").is_file():
        return None
    try:
        run = runs.get(model)
        if run.id == model:  # an id may be shortened, a model's name may not
            return run
    except FtkitError:
        pass  # not an id
    for run in runs.all():
        record = run.stored_record  # a run that has not ended made no model, so its host is not asked
        if record.backend == backend and record.summary.get("tuned_model") == model:
            return run
    return None


def training_cost(name: str, hourly: float | None, source: str) -> tuple[float, str] | None:
    """Find out what training a model cost.

    Args:
        name: the model's name.
        hourly: price of the machine in US dollars per hour, for runs whose backend reports no cost.
        source: source of that price.

    Returns:
        US dollars, and how they are known; None if they are not.
    """
    run = run_that_made(name)
    if run is None:
        return None
    record = run.record
    seconds, paid = record.summary.get("training_seconds"), record.summary.get("cost_usd")
    if paid is not None:
        day = datetime.fromtimestamp(record.finished_at or record.created_at, UTC).date()
        return float(paid), f"as run {run.id} recorded it on {day.isoformat()}"
    if seconds is None or hourly is None:
        return None
    return float(seconds) / 3600 * hourly, f"{seconds:,.1f} s of training at ${hourly:g} an hour ({source})"


def training_curve(name: str) -> TrainingCurve | None:
    """Read the losses of the run that trained a model.

    Args:
        name: the model's name.

    Returns:
        Training loss (thinned to about 400 points), and what its evaluations measured, by step; None if the run is not
        known.
    """
    run = run_that_made(name)
    if run is None:
        return None
    validation = [event.data for event in run.events() if event.kind == "validation"]
    losses = _points(run.metrics)
    step = max(1, len(losses) // _MAX_POINTS)
    thinned = losses[::step]
    if losses and losses[-1] != thinned[-1]:
        thinned.append(losses[-1])
    metric = next((str(each["eval_metric"]) for each in validation if each.get("eval_metric")), None)
    return TrainingCurve(
        run=run.id,
        losses=tuple(thinned),
        validation=tuple(_points(validation)),
        metric=metric,
        metric_values=tuple(_points(validation, metric) if metric else ()),
        divergence=tuple(_points(validation, "preserve_kl")),
    )


def note_report(report: Report) -> None:
    """Note a report in the run that trained its model, for ``ftkit runs`` and for the run's trackers.

    Nothing is noted if this machine's store does not know the run, or cannot be written.

    Args:
        report: the report.
    """
    run = run_that_made(report.model)
    if run is None:
        return
    steps = [step["step"] for step in run.metrics]
    data = {
        "label": report.label,
        "primary": report.primary,
        "metrics": {metric.name: metric.value for metric in report.metrics if metric.value is not None},
        "rows": len(report.rows),
        "data": report.dataset_fingerprint,
        "digest": report.digest,
        **({"step": steps[-1]} if steps else {}),
    }
    with contextlib.suppress(FtkitError):
        run.add_event("report", data)


def _points(metrics: list[dict[str, Any]], name: str = "loss") -> list[tuple[int, float]]:
    return [(int(each["step"]), float(each[name])) for each in metrics if each.get(name) is not None]
