"""Wait for a run and show its progress."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftkit.cli.console import duration, note
from ftkit.counts import counted

if TYPE_CHECKING:
    from ftkit.runs import Run

__all__ = ["wait_for"]


def wait_for(run: Run) -> None:
    """Show a run's progress until it ends, then its result. Ctrl-C stops waiting, not the run.

    Raises:
        RunFailedError: the run failed.
        RunCancelledError: the run was cancelled.
    """
    run.wait()
    record = run.record
    took = f" in {duration(record.finished_at - record.created_at)}" if record.finished_at else ""
    steps = run.metrics
    metric = "reward" if any("reward" in step for step in steps) else "loss"
    values = [step[metric] for step in steps if step.get(metric) is not None]
    change = f", {metric} {values[0]:.3f} → {values[-1]:.3f} over {counted(len(steps), 'step')}" if values else ""
    note(f"run {run.id} succeeded{took}{change}")
    name = run.model.name
    note(f"its model is {name}; evaluate it with `ftkit evaluate {name} --data FILE --target COLUMN`")
