"""What a tracker is: an object that receives what happens in runs."""

from __future__ import annotations

from typing import Protocol

from ftkit.errors import ConfigError
from ftkit.store import Event, RunRecord

__all__ = ["Tracker", "TrackerWarning", "check_tracker"]


class TrackerWarning(UserWarning):
    """A tracker raised an error. The run continues; this process sends the tracker no more of the run's events."""


class Tracker(Protocol):
    """Receives what happens in runs.

    If the process that delivers the events ends, another one continues with a new tracker object. That object gets
    :meth:`on_event` for the next event, and no second :meth:`on_start`. A process that is killed while it delivers an
    event may leave it to be delivered again: ``event.seq`` identifies it. Events may follow the end of a run: a resumed
    run goes on, and an evaluation of its model adds its report.

    A tracker may also have ``link(run)``, which says in a text where the run is shown. It is called after
    :meth:`on_start`, and the run keeps the text.
    """

    def on_start(self, run: RunRecord) -> None:
        """Receive the start of a run.

        Args:
            run: the run, with its recipe, task, backend, model and the fingerprint of its rows.
        """
        ...

    def on_event(self, run: RunRecord, event: Event) -> None:
        """Receive an event: a step, a validation, a checkpoint, a warning, a change of state.

        Args:
            run: the run as it is now.
            event: the event. Events arrive in the order of ``event.seq``.
        """
        ...

    def on_end(self, run: RunRecord) -> None:
        """Receive the end of a run. A run that is resumed later ends again.

        Args:
            run: the run, with its last state and its summary.
        """
        ...


def check_tracker(tracker: object, name: object) -> None:
    """Check that an object has the methods of a tracker.

    Args:
        tracker: the object.
        name: what the message calls it.

    Raises:
        ConfigError: a method is missing, or the object is a class.
    """
    if isinstance(tracker, type):
        raise ConfigError(f"the tracker {name!r} is a class; pass an object of it")
    missing = [method for method in ("on_start", "on_event", "on_end") if not callable(getattr(tracker, method, None))]
    if missing:
        raise ConfigError(f"the tracker {name!r} has no {' and no '.join(missing)}; see ftkit.runs.trackers.Tracker")
