"""The metrics of a run, from its events."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ftkit.results.metric_table import VALIDATION, MetricTable, is_number
from ftkit.store import Event

__all__ = ["step_metrics"]


def step_metrics(events: Iterable[Event]) -> MetricTable:
    """Make the table of a run's metrics.

    Args:
        events: the run's events, oldest first.

    Returns:
        One row for each step that trained or was validated. A step that was repeated counts once, and one without a
        number is left out. The metrics of validation rows begin with ``validation_``.
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
    return MetricTable(
        {"step": step} | steps.get(step, {}) | validations.get(step, {})
        for step in sorted(steps.keys() | validations.keys())
    )
