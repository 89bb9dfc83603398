"""Waiting for a run at the terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ftkit.cli.console import duration, note

if TYPE_CHECKING:
    from ftkit.runs import Run

__all__ = ["wait_for"]


def wait_for(run: Run) -> None:
    """Show a run's progress until it has ended, then what came out. Ctrl-C ends the waiting, not the run.

    Raises:
        RunFailedError, RunCancelledError: it ended without a model.
    """
    try:
        run.wait()
    except KeyboardInterrupt:
        if not sys.stderr.isatty():  # where it is a terminal, the progress bar has said so
            note(f"run {run.id} goes on; find it again with `ftkit runs wait {run.id}`")
        raise
    record = run.record
    took = f" in {duration(record.finished_at - record.created_at)}" if record.finished_at else ""
    steps = run.metrics
    told = "reward" if any("reward" in step for step in steps) else "loss"
    course = [step[told] for step in steps if step.get(told) is not None]
    figures = f", {told} {course[0]:.3f} → {course[-1]:.3f} over {len(steps)} steps" if course else ""
    note(f"run {run.id} succeeded{took}{figures}")
    name = run.model.name
    note(f"its model is {name}; measure it with `ftkit evaluate {name} --data FILE --target COLUMN`")
