"""The metrics of a run, from its events."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ftkit.results.metric_table import VALIDATION, MetricTable, is_number
from ftkit.store import Event

__all__ = ["step_metrics", "validation_metrics"]


def step_metrics(events: Iterable[Event]) -> MetricTable:
    """Make the table of a run's metrics.

    Args:
        events: the run's events, oldest first.

    Returns:
        One row for each step. A step that was repeated counts once, and one without a number is left out. The metrics
        of validation rows begin with ``validation_``; validations at steps that did not train are only drawn.
    """
    steps: dict[float, dict[str, Any]] = {}
    validations: dict[float, dict[str, Any]] = {}
    for event in events:
        step = event.data.get("step")
        if step is None or not is_number(step):
            continue
        if event.kind == "step":
            steps[step] = event.data
        elif event.kind == "validation":
            values = event.data.items()
            validations[step] = {VALIDATION + name: value for name, value in values if name not in ("step", "steps")}
    if not steps:
        return MetricTable({"step": step} | validations[step] for step in sorted(validations))
    return MetricTable(
        ({"step": step} | steps[step] | validations.get(step, {}) for step in sorted(steps)),
        beside=({"step": step} | validations[step] for step in sorted(validations) if step not in steps),
    )


def validation_metrics(events: Iterable[Event]) -> MetricTable:
    """Make the table of a run's validations, with those before the first step.

    Args:
        events: the run's events, oldest first.

    Returns:
        One row for each step that was validated.
    """
    found = {event.data["step"]: event.data for event in events if event.kind == "validation" and "step" in event.data}
    return MetricTable(found[step] for step in sorted(found))
