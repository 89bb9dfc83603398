"""The server's tables of jobs, their events and their checkpoints."""

from __future__ import annotations

import json
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ftkit.server.errors import not_found
from ftkit.server.jobs.job_record import ACTIVE_STATUSES, JobRecord
from ftkit.server.state import State, new_id

__all__ = ["JobEvent", "JobTable", "Level"]

Level = Literal["info", "warn", "error"]

_MAX_NEW_EVENTS = 500


@dataclass(frozen=True, slots=True)
class JobEvent:
    """An event to add to a job.

    Attributes:
        message: text for people.
        level: severity.
        data: metrics of a step; the event then has the type ``metrics``.
        at: Unix seconds; now by default.
    """

    message: str
    level: Level = "info"
    data: dict[str, Any] | None = None
    at: float | None = None


class JobTable:
    """The jobs of all projects.

    Args:
        state: the server's tables.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._changes: Counter[str] = Counter()

    def changes(self, job_id: str) -> int:
        """Count the changes of a job and its events in this process, which is the only one that makes any.

        Args:
            job_id: the job's id.

        Returns:
            A number that rises with each change.
        """
        return self._changes[job_id]

    def create(self, record: JobRecord, events: Sequence[JobEvent]) -> None:
        """Add a job with its first events.

        Args:
            record: the new job.
            events: its first events.
        """
        with self._state.connection() as connection:
            connection.execute(
                "INSERT INTO jobs (id, project, record) VALUES (?, ?, ?)",
                (record.id, record.project, record.model_dump_json()),
            )
            _add_events(connection, record.id, events)
        self._changes[record.id] += 1

    def get(self, job_id: str, project: str | None = None) -> JobRecord:
        """Return a job.

        Args:
            job_id: the job's id.
            project: the project that must own it; ``None`` allows any.

        Returns:
            The job's record.

        Raises:
            ApiError: 404 if there is no such job.
        """
        with self._state.connection() as connection:
            row = connection.execute(
                "SELECT record FROM jobs WHERE id = ? AND coalesce(?, project) = project", (job_id, project)
            ).fetchone()
        if row is None:
            raise not_found("fine-tuning job", job_id, param="fine_tuning_job_id", code="fine_tune_not_found")
        return JobRecord.model_validate_json(row[0])

    def update(
        self,
        job_id: str,
        change: Callable[[JobRecord], dict[str, Any] | None],
        events: Sequence[JobEvent] = (),
    ) -> JobRecord:
        """Change a job and add events to it, in one transaction.

        Args:
            job_id: the job's id.
            change: takes the current record and returns the fields to change; ``None`` changes nothing and adds no
                events.
            events: events that belong to the change.

        Returns:
            The record after the change.
        """
        with self._state.connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            row = connection.execute("SELECT record FROM jobs WHERE id = ?", (job_id,)).fetchone()
            record = JobRecord.model_validate_json(row[0])
            changes = change(record)
            if changes is None:
                return record
            changed = JobRecord.model_validate(record.model_dump() | changes)
            connection.execute("UPDATE jobs SET record = ? WHERE id = ?", (changed.model_dump_json(), job_id))
            _add_events(connection, job_id, events)
        self._changes[job_id] += 1
        return changed

    def active(self) -> list[JobRecord]:
        """List the jobs that the scheduler still has to handle.

        Returns:
            Jobs of all projects, oldest first.
        """
        marks = ", ".join("?" for _ in ACTIVE_STATUSES)
        with self._state.connection() as connection:
            rows = connection.execute(
                f"SELECT record FROM jobs WHERE json_extract(record, '$.status') IN ({marks}) "
                "OR json_extract(record, '$.stopping') ORDER BY seq",
                ACTIVE_STATUSES,
            ).fetchall()
        return [JobRecord.model_validate_json(row[0]) for row in rows]

    def page(
        self, project: str, *, after: str | None, limit: int, metadata: dict[str, str] | None, without: bool
    ) -> tuple[list[JobRecord], bool]:
        """List a page of a project's jobs, newest first.

        Args:
            project: the owning project.
            after: id of the last job of the previous page; ``None`` starts at the newest.
            limit: largest number of jobs.
            metadata: pairs that a job's metadata must contain.
            without: list only jobs without metadata.

        Returns:
            The jobs, and whether there are more.

        Raises:
            ApiError: 404 if there is no job ``after``.
        """
        conditions, values = "project = ?", [project]
        if after is not None:
            self.get(after, project)
            conditions, values = f"{conditions} AND seq < (SELECT seq FROM jobs WHERE id = ?)", [*values, after]
        if without:
            conditions += " AND coalesce(json_extract(record, '$.metadata'), '{}') = '{}'"
        for name, value in (metadata or {}).items():
            conditions += (
                " AND EXISTS (SELECT 1 FROM json_each(jobs.record, '$.metadata') AS pair"
                " WHERE pair.key = ? AND pair.value = ?)"
            )
            values += [name, value]
        with self._state.connection() as connection:
            rows = connection.execute(
                f"SELECT record FROM jobs WHERE {conditions} ORDER BY seq DESC LIMIT ?",
                (*values, limit + 1),
            ).fetchall()
        return [JobRecord.model_validate_json(row[0]) for row in rows[:limit]], len(rows) > limit

    def events(self, job_id: str, *, after: str | None, limit: int) -> tuple[list[dict[str, Any]], bool]:
        """List a page of a job's events, newest first.

        Args:
            job_id: the job's id.
            after: id of the last event of the previous page; ``None`` starts at the newest.
            limit: largest number of events.

        Returns:
            Event objects of OpenAI's API, and whether there are more.

        Raises:
            ApiError: 404 if there is no event ``after``.
        """
        conditions, values = "job_id = ?", [job_id]
        with self._state.connection() as connection:
            if after is not None:
                row = connection.execute(
                    "SELECT 1 FROM job_events WHERE id = ? AND job_id = ?", (after, job_id)
                ).fetchone()
                if row is None:
                    raise not_found("event", after, param="after")
                conditions, values = (
                    f"{conditions} AND seq < (SELECT seq FROM job_events WHERE id = ?)",
                    [*values, after],
                )
            rows = connection.execute(
                "SELECT id, created_at, level, type, message, data FROM job_events "
                f"WHERE {conditions} ORDER BY seq DESC LIMIT ?",
                (*values, limit + 1),
            ).fetchall()
        return [_event_object(*row) for row in rows[:limit]], len(rows) > limit

    def events_since(self, job_id: str, seq: int) -> list[tuple[int, dict[str, Any]]]:
        """List the events that were added to a job since another one, oldest first.

        Args:
            job_id: the job's id.
            seq: number of the last event that is known; 0 lists all.

        Returns:
            The number of each event, and the event as an object of OpenAI's API.
        """
        with self._state.connection() as connection:
            rows = connection.execute(
                "SELECT seq, id, created_at, level, type, message, data FROM job_events "
                "WHERE job_id = ? AND seq > ? ORDER BY seq LIMIT ?",
                (job_id, seq, _MAX_NEW_EVENTS),
            ).fetchall()
        return [(row[0], _event_object(*row[1:])) for row in rows]

    def metrics(self, job_id: str) -> list[dict[str, Any]]:
        """Return the metrics of each step.

        Args:
            job_id: the job's id.

        Returns:
            Metrics in the order of steps; for a repeated step, those of its last repetition.
        """
        with self._state.connection() as connection:
            rows = connection.execute(
                "SELECT data FROM job_events WHERE job_id = ? AND type = 'metrics' ORDER BY seq", (job_id,)
            ).fetchall()
        steps = {data["step"]: data for data in (json.loads(row[0]) for row in rows)}
        return [steps[step] for step in sorted(steps)]

    def last_metrics(self, job_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return the newest metrics of several jobs.

        Args:
            job_ids: ids of jobs.

        Returns:
            Metrics by job id; jobs without metrics are left out.
        """
        marks = ", ".join("?" for _ in job_ids)
        with self._state.connection() as connection:
            rows = connection.execute(
                "SELECT job_id, data FROM job_events WHERE seq IN (SELECT max(seq) FROM job_events "
                f"WHERE type = 'metrics' AND job_id IN ({marks}) GROUP BY job_id)",
                tuple(job_ids),
            ).fetchall()
        return {job_id: json.loads(data) for job_id, data in rows}

    def add_checkpoint(self, job_id: str, step: int, at: float, metrics: dict[str, Any], keep: int) -> None:
        """Add a checkpoint, and delete the rows of all but the newest ``keep``.

        Args:
            job_id: the job's id.
            step: the checkpoint's step.
            at: Unix seconds.
            metrics: metrics of that step.
            keep: number of checkpoints to keep.
        """
        with self._state.connection() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO checkpoints (id, job_id, step, created_at, metrics) VALUES (?, ?, ?, ?, ?)",
                (new_id("ftckpt_"), job_id, step, int(at), json.dumps(metrics)),
            )
            connection.execute(
                "DELETE FROM checkpoints WHERE job_id = ? AND step NOT IN "
                "(SELECT step FROM checkpoints WHERE job_id = ? ORDER BY step DESC LIMIT ?)",
                (job_id, job_id, keep),
            )

    def checkpoints(self, job: JobRecord, *, after: str | None, limit: int) -> tuple[list[dict[str, Any]], bool]:
        """List a page of a job's checkpoints, newest first.

        Args:
            job: the job.
            after: id of the last checkpoint of the previous page; ``None`` starts at the newest.
            limit: largest number of checkpoints.

        Returns:
            Checkpoint objects of OpenAI's API, and whether there are more.

        Raises:
            ApiError: 404 if there is no checkpoint ``after``.
        """
        with self._state.connection() as connection:
            rows = connection.execute(
                "SELECT id, step, created_at, metrics FROM checkpoints WHERE job_id = ? ORDER BY step DESC", (job.id,)
            ).fetchall()
        ids = [row[0] for row in rows]
        if after is not None and after not in ids:
            raise not_found("checkpoint", after, param="after")
        start = 0 if after is None else ids.index(after) + 1
        data = [
            {
                "object": "fine_tuning.job.checkpoint",
                "id": checkpoint_id,
                "created_at": at,
                "fine_tuning_job_id": job.id,
                "fine_tuned_model_checkpoint": f"{job.tuned_name}:ckpt-step-{step}",
                "step_number": step,
                "metrics": json.loads(metrics),
            }
            for checkpoint_id, step, at, metrics in rows[start : start + limit]
        ]
        return data, start + limit < len(rows)

    def delete_checkpoints(self, job_id: str, step: int | None) -> None:
        """Delete the rows of a job's checkpoints.

        Args:
            job_id: the job's id.
            step: step of the checkpoint; ``None`` deletes all.
        """
        with self._state.connection() as connection:
            connection.execute("DELETE FROM checkpoints WHERE job_id = ? AND step = coalesce(?, step)", (job_id, step))


def _add_events(connection: sqlite3.Connection, job_id: str, events: Sequence[JobEvent]) -> None:
    now = time.time()
    connection.executemany(
        "INSERT INTO job_events (id, job_id, created_at, level, type, message, data) VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (
                new_id("ftevent-"),
                job_id,
                int(now if event.at is None else event.at),
                event.level,
                "message" if event.data is None else "metrics",
                event.message,
                json.dumps(event.data or {}),
            )
            for event in events
        ],
    )


def _event_object(event_id: str, created_at: int, level: str, kind: str, message: str, data: str) -> dict[str, Any]:
    return {
        "object": "fine_tuning.job.event",
        "id": event_id,
        "created_at": created_at,
        "level": level,
        "message": message,
        "type": kind,
        "data": json.loads(data),
    }
