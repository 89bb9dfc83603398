"""The run that made a model, and what it cost."""

from __future__ import annotations

from datetime import UTC, datetime

from ftkit import runs
from ftkit.errors import FtkitError
from ftkit.files import home

__all__ = ["run_that_made", "training_cost"]


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
