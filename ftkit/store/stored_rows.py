"""Records and events as the database holds them: JSON in columns."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ftkit.errors import RunError
from ftkit.store.record import Event, RunRecord

__all__ = [
    "UnreadableRunError",
    "event_of",
    "events_of",
    "json_of",
    "newest_events_of",
    "newest_logs_of",
    "record_of",
]


class UnreadableRunError(RunError):
    """The record of a run is damaged, or another version of ftkit wrote it."""


def json_of(data: dict[str, Any]) -> str:
    """Write the data of an event as the database holds it.

    Args:
        data: the data.

    Returns:
        JSON.
    """
    return json.dumps(data, ensure_ascii=False)


def events_of(connection: sqlite3.Connection, run_id: str, after: int) -> list[Event]:
    """Read events of a run.

    Args:
        connection: the open database.
        run_id: id of the run.
        after: read only events whose ``seq`` is above this.

    Returns:
        The events, oldest first.
    """
    rows = connection.execute(
        "SELECT seq, at, kind, data FROM events WHERE run_id = ? AND seq > ? ORDER BY seq", (run_id, after)
    ).fetchall()
    return [event_of(*row) for row in rows]


def newest_events_of(connection: sqlite3.Connection, kinds: Sequence[str]) -> dict[str, dict[str, Event]]:
    """Read the newest event of each run and kind.

    Args:
        connection: the open database.
        kinds: the kinds.

    Returns:
        By the run's id, the events by their kind.
    """
    marks = ", ".join("?" * len(kinds))
    rows = connection.execute(
        "SELECT run_id, seq, at, kind, data FROM events WHERE seq IN "  # noqa: S608  (marks are all "?")
        f"(SELECT max(seq) FROM events WHERE kind IN ({marks}) GROUP BY run_id, kind)",
        tuple(kinds),
    ).fetchall()
    newest: dict[str, dict[str, Event]] = {}
    for run_id, *row in rows:
        newest.setdefault(run_id, {})[row[2]] = event_of(*row)
    return newest


def newest_logs_of(connection: sqlite3.Connection, message: str) -> dict[str, Event]:
    """Read the newest log event of each run that has a message.

    Args:
        connection: the open database.
        message: the whole message.

    Returns:
        The events by the run's id.
    """
    rows = connection.execute(
        "SELECT run_id, seq, at, kind, data FROM events WHERE kind = 'log' AND "
        "CASE WHEN json_valid(data) THEN json_extract(data, '$.message') END = ? ORDER BY seq",
        (message,),
    ).fetchall()
    return {run_id: event_of(*row) for run_id, *row in rows}


def event_of(seq: int, at: float, kind: str, data: str | bytes) -> Event:
    """Make an event of its columns; one that cannot be read becomes a warning that says so.

    Args:
        seq: its number.
        at: its time.
        kind: its kind.
        data: its data as JSON.

    Returns:
        The event.
    """
    try:
        return Event.model_validate({"seq": seq, "at": at, "kind": kind, "data": json.loads(data)})
    except (ValueError, TypeError, RecursionError) as error:
        when = at if isinstance(at, int | float) and abs(at) < 6e10 else 0.0
        return Event(seq=seq, at=when, kind="warning", data={"message": f"event {seq} cannot be read: {error}"})


def record_of(run_id: object, text: str | bytes | None, path: Path) -> RunRecord:
    """Make the record of a run of its JSON.

    Args:
        run_id: id of the run, for the message.
        text: the JSON.
        path: the database, for the message.

    Returns:
        The record.

    Raises:
        UnreadableRunError: it cannot be read.
    """
    try:
        return RunRecord.model_validate_json(text if isinstance(text, str | bytes) else "")
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(map(str, first["loc"])) or "the record"
        raise UnreadableRunError(
            f"the record of run {run_id} in {path} cannot be read ({field}: {first['msg']}); "
            f"`ftkit runs delete {run_id}` deletes the run"
        ) from error
