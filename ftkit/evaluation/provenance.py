"""The run that made a model, and what it cost."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from ftkit import runs
from ftkit.errors import FtkitError
from ftkit.files import home
from ftkit.results.resources import TrainingCurve

__all__ = ["run_that_made", "training_cost", "training_curve"]

_MOST = 400  # points of a curve


def run_that_made(name: str) -> runs.Run | None:
    """The run behind ``"backend:<id of a run>"``, or behind the name that a host gave to the tuned model; ``None``
    when this machine's store knows none."""
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
        if run.record.backend == backend and run.record.summary.get("tuned_model") == model:
            return run
    return None


def training_cost(name: str, hourly: float | None, whose: str) -> tuple[float, str] | None:
    """What training that model cost, in US dollars, and how that is known; ``None`` when it is not.

    Args:
        name: the model's.
        hourly: US dollars an hour of the machine, for runs whose place does not say what they cost.
        whose: who says so.
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
    return float(seconds) / 3600 * hourly, f"{seconds:,.1f} s of training at ${hourly:g} an hour ({whose})"


def training_curve(name: str) -> TrainingCurve | None:
    """The curve of the run that made the model of that name; ``None`` when the store knows no such run."""
    run = run_that_made(name)
    if run is None:
        return None
    validation = [event.data for event in run.events() if event.kind == "validation"]
    losses = _points(run.metrics)
    step = max(1, len(losses) // _MOST)
    kept = losses[::step] if not losses or losses[-1] == losses[::step][-1] else [*losses[::step], losses[-1]]
    return TrainingCurve(run=run.id, losses=tuple(kept), validation=tuple(_points(validation)))


def _points(found: list[dict[str, Any]]) -> list[tuple[int, float]]:
    return [(int(one["step"]), float(one["loss"])) for one in found if one.get("loss") is not None]
