"""The durable store of runs: one SQLite file that any process may read and write."""

from __future__ import annotations

import contextlib
import sqlite3
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ftkit.errors import RunError, RunNotFoundError
from ftkit.files import home
from ftkit.store.database import Database
from ftkit.store.record import Event, EventKind, RunRecord, RunState
from ftkit.store.stored_rows import UnreadableRunError, events_of, json_of, newest_events_of, newest_logs_of, record_of

__all__ = ["RunTransaction", "Store", "StoreWarning", "UnreadableRunError"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
    id TEXT PRIMARY KEY, created_at REAL NOT NULL, state TEXT NOT NULL, record TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
    at REAL NOT NULL, kind TEXT NOT NULL, data TEXT NOT NULL, source_id TEXT
);
CREATE INDEX IF NOT EXISTS events_of_run ON events (run_id, seq);
CREATE UNIQUE INDEX IF NOT EXISTS events_by_source ON events (run_id, source_id);
CREATE TABLE IF NOT EXISTS trackers (
    run_id TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE, name TEXT NOT NULL, position INTEGER NOT NULL,
    ended_at INTEGER, PRIMARY KEY (run_id, name)
);
"""
_MIGRATIONS = {2: "ALTER TABLE events ADD COLUMN source_id TEXT"}
_VERSION = 2


class StoreWarning(UserWarning):
    """Part of the store cannot be read."""


class RunTransaction:
    """Reads and writes of one run that the store commits together, or not at all.

    No other process writes to the store meanwhile, so what is read here is still true when the changes are written.
    See :meth:`Store.transaction`.

    Attributes:
        record: the run as it is now, with the changes of this transaction.
    """

    def __init__(self, connection: sqlite3.Connection, record: RunRecord) -> None:
        self._connection = connection
        self.record = record

    def update(self, *, reason: str | None = None, **changes: Any) -> RunRecord:
        """Change fields of the run. A change of its state is also added as an event.

        Args:
            reason: the reason of a change of state, for the event.
            **changes: new values by field of :class:`RunRecord`.

        Returns:
            The changed record.
        """
        before = self.record
        self.record = RunRecord.model_validate(before.model_dump() | changes)
        self._connection.execute(
            "UPDATE runs SET state = ?, record = ? WHERE id = ?",
            (self.record.state, self.record.model_dump_json(), self.record.id),
        )
        if self.record.state != before.state:
            self.append("state", {"state": self.record.state} | ({"reason": reason} if reason else {}))
        return self.record

    def append(
        self, kind: EventKind, data: dict[str, Any], *, source_id: str | None = None, at: float | None = None
    ) -> bool:
        """Add an event to the run.

        Args:
            kind: the kind of event.
            data: its data, see :class:`Event`.
            source_id: the event's id at the host that reported it. An event whose id the run already has is not added
                again, whichever process reads it.
            at: when it happened, in Unix seconds; now by default.

        Returns:
            Whether the event was added.
        """
        added = self._connection.execute(
            "INSERT INTO events (run_id, at, kind, data, source_id) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (run_id, source_id) DO NOTHING",
            (self.record.id, time.time() if at is None else at, kind, json_of(data), source_id),
        )
        return added.rowcount > 0

    def events(self) -> list[Event]:
        """Read the events of the run.

        Returns:
            All of them, oldest first.
        """
        return events_of(self._connection, self.record.id, 0)


class Store:
    """Runs and their events. Safe to use from several processes at once.

    Nothing is created before the first run, and reading writes nothing, so a store on a full or read-only disk can be
    read. A record that cannot be read is left out of :meth:`all`, with a warning; the other runs stay usable.

    Args:
        folder: the folder of ``runs.sqlite3`` and of the runs' folders; ftkit's home by default.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = home() if folder is None else folder
        self.path = self.folder / "runs.sqlite3"
        database = Database(self.path, _SCHEMA, _VERSION, holds="runs", migrations=_MIGRATIONS)
        self._connection, self._reading = database.connection, database.reading

    def run_folder(self, run_id: str) -> Path:
        """Return the folder of a run's files: its job, log and model.

        Args:
            run_id: id of the run.

        Returns:
            The folder, which may not exist yet.
        """
        return self.folder / "runs" / run_id

    def create(self, record: RunRecord, *, trackers: Sequence[str] = ()) -> None:
        """Add a new run.

        Args:
            record: the run.
            trackers: names of the trackers that receive its events.

        Raises:
            RunError: there is a run with this id already.
        """
        with self._connection() as connection:
            try:
                connection.execute(
                    "INSERT INTO runs (id, created_at, state, record) VALUES (?, ?, ?, ?)",
                    (record.id, record.created_at, record.state, record.model_dump_json()),
                )
            except sqlite3.IntegrityError:
                raise RunError(f"there is a run {record.id!r} already") from None
            RunTransaction(connection, record).append("state", {"state": record.state})
            connection.executemany(
                "INSERT INTO trackers (run_id, name, position) VALUES (?, ?, -1)",
                [(record.id, name) for name in dict.fromkeys(trackers)],
            )

    def get(self, run_id: str) -> RunRecord:
        """Return a run.

        Args:
            run_id: its id, or a prefix that only one run's id has.

        Returns:
            The record.

        Raises:
            RunNotFoundError: no run has the id, or several runs have the prefix.
            UnreadableRunError: its record cannot be read.
        """
        with self._reading() as connection:
            row = connection.execute("SELECT id, record FROM runs WHERE id = ?", (run_id,)).fetchone()
            if row is None and run_id:
                matches = connection.execute(
                    "SELECT id, record FROM runs WHERE substr(id, 1, ?) = ?", (len(run_id), run_id)
                ).fetchall()
                if len(matches) > 1:
                    raise RunNotFoundError(f"{len(matches)} runs begin with {run_id!r}; give more of the id")
                row = matches[0] if matches else None
        if row is None:
            raise RunNotFoundError(f"no run {run_id!r} in {self.path}; `ftkit runs` lists them")
        return record_of(row[0], row[1], self.path)

    def all(self) -> list[RunRecord]:
        """List all runs. Those whose record cannot be read are left out, with a warning.

        Returns:
            Their records, newest first.
        """
        with self._reading() as connection:
            rows = connection.execute("SELECT id, record FROM runs ORDER BY created_at DESC, id").fetchall()
        records = []
        for run_id, text in rows:
            try:
                records.append(record_of(run_id, text, self.path))
            except UnreadableRunError as error:
                warnings.warn(f"{error}. It is left out", StoreWarning, stacklevel=2)
        return records

    def in_state(self, state: RunState) -> list[RunRecord]:
        """List the runs in a state. Those whose record cannot be read are left out.

        Args:
            state: the state.

        Returns:
            Their records, oldest first.
        """
        with self._reading() as connection:
            rows = connection.execute(
                "SELECT id, record FROM runs WHERE state = ? ORDER BY created_at, id", (state,)
            ).fetchall()
        records = []
        for run_id, text in rows:
            with contextlib.suppress(UnreadableRunError):
                records.append(record_of(run_id, text, self.path))
        return records

    def find_id(self, run_id: str) -> str | None:
        """Find the id of a run whose record may be unreadable.

        Args:
            run_id: its complete id.

        Returns:
            The id; None if there is no such run.
        """
        with self._reading() as connection:
            row = connection.execute("SELECT id FROM runs WHERE id = ?", (run_id,)).fetchone()
        return None if row is None else str(row[0])

    @contextlib.contextmanager
    def transaction(self, run_id: str) -> Iterator[RunTransaction]:
        """Read and change one run in a single transaction. An exception inside rolls everything back.

        Args:
            run_id: id of the run.

        Yields:
            The run, to be read and changed.

        Raises:
            RunNotFoundError: there is no such run.
        """
        with self._connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            row = connection.execute("SELECT record FROM runs WHERE id = ?", (run_id,)).fetchone()
            if row is None:
                raise RunNotFoundError(f"no run {run_id!r} in {self.path}")
            yield RunTransaction(connection, record_of(run_id, row[0], self.path))

    def update(
        self, run_id: str, *, expect: tuple[RunState, ...] | None = None, reason: str | None = None, **changes: Any
    ) -> RunRecord:
        """Change fields of a run. A change of its state is also added as an event.

        Args:
            run_id: id of the run.
            expect: states in which the run is changed; in another state nothing happens. Of two processes that end a
                run, only the first one changes it.
            reason: the reason of a change of state, for the event.
            **changes: new values by field of :class:`RunRecord`.

        Returns:
            The record as it is now.
        """
        with self.transaction(run_id) as run:
            if expect is not None and run.record.state not in expect:
                return run.record
            return run.update(reason=reason, **changes)

    def append(self, run_id: str, kind: EventKind, data: dict[str, Any]) -> None:
        """Add an event to a run.

        Args:
            run_id: id of the run.
            kind: the kind of event.
            data: its data, see :class:`Event`.
        """
        self.append_all(run_id, [(time.time(), kind, data)])

    def append_all(self, run_id: str, events: Iterable[tuple[float, EventKind, dict[str, Any]]]) -> None:
        """Add events to a run, all or none.

        Args:
            run_id: id of the run.
            events: time in Unix seconds, kind and data of each event.
        """
        with self._connection() as connection:
            connection.executemany(
                "INSERT INTO events (run_id, at, kind, data) VALUES (?, ?, ?, ?)",
                [(run_id, at, kind, json_of(data)) for at, kind, data in events],
            )

    def events(self, run_id: str, after: int = 0) -> list[Event]:
        """Read the events of a run.

        Args:
            run_id: id of the run.
            after: return only events whose ``seq`` is above this.

        Returns:
            The events, oldest first.
        """
        with self._reading() as connection:
            return events_of(connection, run_id, after)

    def source_ids(self, run_id: str) -> set[str]:
        """Return the ids under which a host reported the events that the run already has.

        Args:
            run_id: id of the run.

        Returns:
            The ids; empty for local runs.
        """
        with self._reading() as connection:
            rows = connection.execute(
                "SELECT source_id FROM events WHERE run_id = ? AND source_id IS NOT NULL", (run_id,)
            ).fetchall()
        return {row[0] for row in rows}

    def newest_events(self, kinds: Sequence[EventKind]) -> dict[str, dict[str, Event]]:
        """Return the newest event of each run and kind, for lists of runs.

        Args:
            kinds: the kinds.

        Returns:
            By the run's id, the events by their kind.
        """
        with self._reading() as connection:
            return newest_events_of(connection, kinds)

    def newest_logs(self, message: str) -> dict[str, Event]:
        """Return the newest log event of each run that has a message, for lists of runs.

        Args:
            message: the whole message.

        Returns:
            The events by the run's id.
        """
        with self._reading() as connection:
            return newest_logs_of(connection, message)

    def last_seq(self, run_id: str) -> int:
        """Return the number of a run's last event.

        Args:
            run_id: id of the run.

        Returns:
            Its ``seq``; 0 if the run has no events.
        """
        with self._reading() as connection:
            row = connection.execute("SELECT coalesce(max(seq), 0) FROM events WHERE run_id = ?", (run_id,)).fetchone()
        return int(row[0])

    def tracker_positions(self, run_id: str) -> dict[str, tuple[int, int | None]]:
        """Return how far the trackers of a run have come.

        Args:
            run_id: id of the run.

        Returns:
            By the tracker's name, the ``seq`` of the last event that it received (0: only the start, -1: nothing), and
            the ``seq`` after which it received the end of the run, or None.
        """
        with self._reading() as connection:
            rows = connection.execute(
                "SELECT name, position, ended_at FROM trackers WHERE run_id = ? ORDER BY rowid", (run_id,)
            ).fetchall()
        return {name: (position, ended_at) for name, position, ended_at in rows}

    def set_tracker_position(self, run_id: str, name: str, seq: int, ended_at: int | None) -> None:
        """Store how far a tracker of a run has come.

        Args:
            run_id: id of the run.
            name: name of the tracker.
            seq: ``seq`` of the last event that it received.
            ended_at: ``seq`` after which it received the end of the run.
        """
        with self._connection() as connection:
            connection.execute(
                "UPDATE trackers SET position = ?, ended_at = ? WHERE run_id = ? AND name = ?",
                (seq, ended_at, run_id, name),
            )

    def delete(self, run_id: str) -> None:
        """Delete a run and its events. Its folder is left to the caller.

        Args:
            run_id: id of the run.
        """
        with self._connection() as connection:
            connection.execute("DELETE FROM runs WHERE id = ?", (run_id,))
