"""The durable store of runs: one SQLite file, written by whoever has something to say."""

from __future__ import annotations

import json
import sqlite3
import time
from pathlib import Path
from typing import Any

from ftkit.errors import RunError, RunNotFoundError
from ftkit.files import home
from ftkit.store.database import Database
from ftkit.store.record import Event, EventKind, RunRecord, RunState

__all__ = ["Store"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
    id TEXT PRIMARY KEY, created_at REAL NOT NULL, state TEXT NOT NULL, record TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
    at REAL NOT NULL, kind TEXT NOT NULL, data TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS events_of_run ON events (run_id, seq);
"""
_VERSION = 1


class Store:
    """Runs and their events. Safe to use from several processes at once.

    Args:
        folder: where ``runs.sqlite3`` and the runs' folders lie; ftkit's home by default.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = home() if folder is None else folder
        self.path = self.folder / "runs.sqlite3"
        self._connection = Database(self.path, _SCHEMA, _VERSION, holds="runs").connection

    def run_folder(self, run_id: str) -> Path:
        """The folder of a run's files: its job, log and model."""
        return self.folder / "runs" / run_id

    def create(self, record: RunRecord) -> None:
        """Add a new run.

        Raises:
            RunError: the id is taken.
        """
        with self._connection() as connection:
            try:
                connection.execute(
                    "INSERT INTO runs (id, created_at, state, record) VALUES (?, ?, ?, ?)",
                    (record.id, record.created_at, record.state, record.model_dump_json()),
                )
            except sqlite3.IntegrityError:
                raise RunError(f"there is a run {record.id!r} already") from None
            self._add(connection, record.id, "state", {"state": record.state})

    def get(self, run_id: str) -> RunRecord:
        """The run of that id, or the only one whose id begins so.

        Raises:
            RunNotFoundError: there is none, or several begin so.
        """
        with self._connection() as connection:
            row = connection.execute("SELECT record FROM runs WHERE id = ?", (run_id,)).fetchone()
            if row is None and run_id:
                begins = connection.execute(
                    "SELECT record FROM runs WHERE substr(id, 1, ?) = ?", (len(run_id), run_id)
                ).fetchall()
                if len(begins) > 1:
                    raise RunNotFoundError(f"{len(begins)} runs begin with {run_id!r}; give more of the id")
                row = begins[0] if begins else None
        if row is None:
            raise RunNotFoundError(f"no run {run_id!r} in {self.path}; `ftkit runs` lists them")
        return RunRecord.model_validate_json(row[0])

    def all(self) -> list[RunRecord]:
        """All runs, newest first."""
        with self._connection() as connection:
            rows = connection.execute("SELECT record FROM runs ORDER BY created_at DESC, id").fetchall()
        return [RunRecord.model_validate_json(row[0]) for row in rows]

    def update(
        self, run_id: str, *, expect: tuple[RunState, ...] | None = None, reason: str | None = None, **changes: Any
    ) -> RunRecord:
        """Change fields of a run; a change of state becomes an event too.

        Args:
            expect: do nothing unless the run is in one of these states, so that two who end a run don't both do.
            reason: goes into the event.

        Returns:
            The record as it is now.
        """
        with self._connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            row = connection.execute("SELECT record FROM runs WHERE id = ?", (run_id,)).fetchone()
            if row is None:
                raise RunNotFoundError(f"no run {run_id!r} in {self.path}")
            record = RunRecord.model_validate_json(row[0])
            if expect is not None and record.state not in expect:
                return record
            changed = RunRecord.model_validate(record.model_dump() | changes)
            connection.execute(
                "UPDATE runs SET state = ?, record = ? WHERE id = ?", (changed.state, changed.model_dump_json(), run_id)
            )
            if changed.state != record.state:
                data = {"state": changed.state} | ({"reason": reason} if reason else {})
                self._add(connection, run_id, "state", data)
        return changed

    def append(self, run_id: str, kind: EventKind, data: dict[str, Any]) -> None:
        """Add an event to a run."""
        with self._connection() as connection:
            self._add(connection, run_id, kind, data)

    def events(self, run_id: str, after: int = 0) -> list[Event]:
        """The run's events whose ``seq`` is above ``after``, oldest first."""
        with self._connection() as connection:
            rows = connection.execute(
                "SELECT seq, at, kind, data FROM events WHERE run_id = ? AND seq > ? ORDER BY seq", (run_id, after)
            ).fetchall()
        return [Event(seq=seq, at=at, kind=kind, data=json.loads(data)) for seq, at, kind, data in rows]

    def delete(self, run_id: str) -> None:
        """Forget a run and its events; its folder is the caller's matter."""
        with self._connection() as connection:
            connection.execute("DELETE FROM runs WHERE id = ?", (run_id,))

    @staticmethod
    def _add(connection: sqlite3.Connection, run_id: str, kind: EventKind, data: dict[str, Any]) -> None:
        connection.execute(
            "INSERT INTO events (run_id, at, kind, data) VALUES (?, ?, ?, ?)",
            (run_id, time.time(), kind, json.dumps(data, ensure_ascii=False)),
        )
