"""Deliver the events of a run to its trackers, each once."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import ClassVar

from ftkit.backends.hosted.redaction import redact
from ftkit.errors import StorageError
from ftkit.files import says_disk_full
from ftkit.printable import printable, public_address
from ftkit.runs.trackers.protocol import Tracker, TrackerWarning
from ftkit.runs.trackers.registry import create_tracker
from ftkit.store import OPEN_STATES, RunRecord, Store
from ftkit.store.file_lock import try_lock

__all__ = ["RunTrackers"]


class RunTrackers:
    """Delivers the events of one run to its trackers.

    Args:
        store: the store of runs.
        run_id: id of the run.
        objects: trackers of this process only, beside those that the store lists for the run.
    """

    _failed: ClassVar[set[tuple[str, str]]] = set()
    """Runs and trackers that have failed in this process."""

    def __init__(self, store: Store, run_id: str, objects: Sequence[Tracker] = ()) -> None:
        self._store, self._run_id = store, run_id
        self._trackers: dict[str, Tracker] = {}
        self._objects = {f"{type(tracker).__name__} object {id(tracker)}": tracker for tracker in objects}
        self._positions: dict[str, tuple[int, int | None]] = dict.fromkeys(self._objects, (-1, None))
        self._has_named = bool(store.tracker_positions(run_id))

    def deliver(self, run: RunRecord) -> None:
        """Send each tracker the events that it has not received.

        Only one process delivers at a time; if another one does, nothing happens here.

        Args:
            run: the run as it is now.
        """
        for name, (seq, ended_at) in list(self._positions.items()):
            self._deliver(name, self._objects[name], run, seq, ended_at, self._remember)
        if not self._has_named or not self._pending(run):
            return
        try:
            with try_lock(self._store.run_folder(run.id), "trackers.lock") as locked:
                if not locked:
                    return
                for name, (seq, ended_at) in self._store.tracker_positions(run.id).items():
                    if (run.id, name) not in self._failed:
                        self._deliver(name, None, run, seq, ended_at, self._save)
        except StorageError:  # a full or read-only disk: what was sent cannot be noted, so it is sent later
            return

    def _pending(self, run: RunRecord) -> bool:
        last = self._store.last_seq(run.id)
        return any(
            seq < last or (run.state not in OPEN_STATES and ended_at != last)
            for name, (seq, ended_at) in self._store.tracker_positions(run.id).items()
            if (run.id, name) not in self._failed
        )

    def _deliver(
        self,
        name: str,
        tracker: Tracker | None,
        run: RunRecord,
        seq: int,
        ended_at: int | None,
        save: Callable[[str, int, int | None], None],
    ) -> None:
        if (run.id, name) in self._failed:
            return
        try:
            tracker = tracker or self._create(name)
            if seq < 0:
                tracker.on_start(run)
                seq = 0
                save(name, seq, ended_at)
                self._note_link(name, tracker, run)
            for event in self._store.events(run.id, seq):
                tracker.on_event(run, event)
                seq = event.seq
                save(name, seq, ended_at)
            if run.state not in OPEN_STATES and ended_at != seq:
                tracker.on_end(run)
                save(name, seq, seq)
        except StorageError:
            raise
        except Exception as error:
            if says_disk_full(error):
                return  # events wait for room on the disk
            self._failed.add((run.id, name))
            reason = printable(redact(str(error)))
            warnings.warn(
                f"the tracker {name!r} failed: {type(error).__name__}: {reason}. The run continues; this process sends "
                f"the tracker no more events of run {run.id}",
                TrackerWarning,
                stacklevel=2,
            )

    def _note_link(self, name: str, tracker: Tracker, run: RunRecord) -> None:
        """Note in the run where a tracker shows it, if the tracker says so."""
        link = getattr(tracker, "link", None)
        where = link(run) if callable(link) else ""
        if where and isinstance(where, str):
            where = public_address(where)
            shown = name.partition(":")[0] if name not in self._objects else type(tracker).__name__
            self._store.append(
                run.id, "log", {"message": f"tracked by {shown}: {where}", "tracker": shown, "link": where}
            )

    def _create(self, name: str) -> Tracker:
        if name not in self._trackers:
            self._trackers[name] = create_tracker(name)
        return self._trackers[name]

    def _remember(self, name: str, seq: int, ended_at: int | None) -> None:
        self._positions[name] = (seq, ended_at)

    def _save(self, name: str, seq: int, ended_at: int | None) -> None:
        self._store.set_tracker_position(self._run_id, name, seq, ended_at)
