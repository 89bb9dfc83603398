"""Trackers: objects that receive what happens in a run, e.g. to send it to an experiment tracker.

An installed package adds a tracker through the entry-point group ``ftkit.trackers``; ftkit's own is registered in the
same way. Trackers work alike for local and hosted runs. Whichever process polls a run (``run.wait()``, ``ftkit runs``)
delivers its events, and the store remembers for each tracker how far it has come.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

from typing_extensions import override

from ftkit.errors import ConfigError, StorageError
from ftkit.files import home, says_disk_full
from ftkit.registry import Registry
from ftkit.store import OPEN_STATES, Event, RunRecord, Store
from ftkit.store.file_lock import try_lock

__all__ = [
    "TRACKERS",
    "JsonLinesTracker",
    "RunTrackers",
    "Tracker",
    "TrackerWarning",
    "check_tracker",
    "create_tracker",
]


class TrackerWarning(UserWarning):
    """A tracker raised an error. The run continues; this process sends the tracker no more of the run's events."""


class Tracker(Protocol):
    """Receives what happens in runs.

    If the process that delivers the events ends, another one continues with a new tracker object. That object gets
    :meth:`on_event` for the next event, and no second :meth:`on_start`. A process that is killed while it delivers an
    event may leave it to be delivered again: ``event.seq`` identifies it.
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


class JsonLinesTracker(Tracker):
    """Appends events to a file of JSON lines.

    Each line has ``run`` (the id) and ``type``: ``start`` (with the run's record), ``event`` (with ``seq``, ``at``,
    ``kind`` and ``data``) or ``end`` (with ``state``, ``error`` and ``summary``). A line that is in the file already is
    not written again.

    Args:
        path: the file. Several runs may share one. ``trackers.jsonl`` in ftkit's home by default.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = Path(path) if path else home() / "trackers.jsonl"
        self._written: dict[str, int] = {}

    @override
    def on_start(self, run: RunRecord) -> None:
        if self._last_seq(run.id) < 0:
            self._write(run.id, 0, {"type": "start", **run.model_dump(mode="json")})

    @override
    def on_event(self, run: RunRecord, event: Event) -> None:
        if event.seq > self._last_seq(run.id):
            self._write(run.id, event.seq, {"type": "event", **event.model_dump(mode="json")})

    @override
    def on_end(self, run: RunRecord) -> None:
        self._write(
            run.id,
            self._last_seq(run.id),
            {"type": "end", "state": run.state, "error": run.error, "summary": run.summary},
        )

    def _last_seq(self, run_id: str) -> int:
        """Number of the run's last event in the file; 0 if only its start is there, -1 if nothing is."""
        if run_id not in self._written:
            self._written[run_id] = max((line.get("seq", 0) for line in self._read(run_id)), default=-1)
        return self._written[run_id]

    def _read(self, run_id: str) -> list[dict[str, Any]]:
        lines = []
        if self.path.is_file():
            with self.path.open(encoding="utf-8") as file:
                for text in file:
                    try:
                        line = json.loads(text)
                    except ValueError:  # cut off when its process was killed
                        continue
                    if line.get("run") == run_id:
                        lines.append(line)
        return lines

    def _write(self, run_id: str, seq: int, line: dict[str, Any]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a+b") as file:
            file.seek(0, 2)
            if file.tell():
                file.seek(-1, 2)
                begin = b"" if file.read(1) == b"\n" else b"\n"
            else:
                begin = b""
            file.write(begin + json.dumps({"run": run_id, **line}, ensure_ascii=False).encode() + b"\n")
        self._written[run_id] = seq


TRACKERS: Registry[Callable[..., Tracker]] = Registry(
    "tracker", group="ftkit.trackers", built_in={"jsonl": "ftkit.runs.trackers:JsonLinesTracker"}
)
"""Trackers: callables that create a :class:`Tracker`, without an argument or from the text after ``"name:"``."""


def create_tracker(spec: str) -> Tracker:
    """Create a registered tracker.

    Args:
        spec: ``"name"`` or ``"name:argument"``, e.g. ``"jsonl:events.jsonl"``.

    Returns:
        The tracker.

    Raises:
        ConfigError: no tracker has this name, or it cannot be created.
    """
    name, colon, argument = spec.partition(":")
    factory = TRACKERS.get(name)
    try:
        tracker = factory(argument) if colon else factory()
    except Exception as error:  # a package's constructor may raise anything
        raise ConfigError(f"the tracker {spec!r} cannot be created: {error}") from error
    check_tracker(tracker, spec)
    return tracker


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
            warnings.warn(
                f"the tracker {name!r} failed: {type(error).__name__}: {error}. The run continues; this process sends "
                f"the tracker no more events of run {run.id}",
                TrackerWarning,
                stacklevel=2,
            )

    def _create(self, name: str) -> Tracker:
        if name not in self._trackers:
            self._trackers[name] = create_tracker(name)
        return self._trackers[name]

    def _remember(self, name: str, seq: int, ended_at: int | None) -> None:
        self._positions[name] = (seq, ended_at)

    def _save(self, name: str, seq: int, ended_at: int | None) -> None:
        self._store.set_tracker_position(self._run_id, name, seq, ended_at)
