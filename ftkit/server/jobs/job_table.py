"""The jobs, their events and their checkpoints, as the server keeps them."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ftkit.server.errors import not_found
from ftkit.server.jobs.job_record import ACTIVE_STATUSES, JobRecord
from ftkit.server.state import State, new_id

__all__ = ["JobTable", "Level", "Told"]

Level = Literal["info", "warn", "error"]


@dataclass(frozen=True, slots=True)
class Told:
    """Something to be told to the client of a job.

    Attributes:
        message: for people.
        level: how bad it is.
        data: the figures of a step; makes it an event of type ``metrics``.
        at: Unix seconds.
    """

    message: str
    level: Level = "info"
    data: dict[str, Any] | None = None
    at: float | None = None


class JobTable:
    """Jobs by project."""

    def __init__(self, state: State) -> None:
        self._state = state

    def create(self, record: JobRecord, told: Sequence[Told]) -> None:
        """Add a job with its first events."""
        with self._state.connection() as connection:
            connection.execute(
                "INSERT INTO jobs (id, project, record) VALUES (?, ?, ?)",
                (record.id, record.project, record.model_dump_json()),
            )
            _tell(connection, record.id, told)

    def get(self, job_id: str, project: str | None = None) -> JobRecord:
        """The job of that id; of any project when none is given.

        Raises:
            ApiError: 404, there is none.
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
        told: Sequence[Told] = (),
    ) -> JobRecord:
        """Change a job and tell of it, in one transaction.

        Args:
            change: gives the fields to change, knowing the record as it is now; ``None`` changes and tells nothing.
            told: events that belong to the change.

        Returns:
            The record as it is afterwards.
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
            _tell(connection, job_id, told)
        return changed

    def active(self) -> list[JobRecord]:
        """The jobs of all projects with which something is still to be done, the oldest first."""
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
        """Jobs of a project, newest first, and whether there are more.

        Args:
            metadata: pairs that a job's metadata must have.
            without: only jobs that have no metadata.

        Raises:
            ApiError: 404, there is no job ``after``.
        """
        where, values = "project = ?", [project]
        if after is not None:
            self.get(after, project)
            where, values = f"{where} AND seq < (SELECT seq FROM jobs WHERE id = ?)", [*values, after]
        if without:
            where += " AND coalesce(json_extract(record, '$.metadata'), '{}') = '{}'"
        for name, value in (metadata or {}).items():
            where += (
                " AND EXISTS (SELECT 1 FROM json_each(jobs.record, '$.metadata') AS pair"
                " WHERE pair.key = ? AND pair.value = ?)"
            )
            values += [name, value]
        with self._state.connection() as connection:
            rows = connection.execute(
                f"SELECT record FROM jobs WHERE {where} ORDER BY seq DESC LIMIT ?",
                (*values, limit + 1),
            ).fetchall()
        return [JobRecord.model_validate_json(row[0]) for row in rows[:limit]], len(rows) > limit

    def events(self, job_id: str, *, after: str | None, limit: int) -> tuple[list[dict[str, Any]], bool]:
        """Events of a job as OpenAI shows them, newest first, and whether there are more.

        Raises:
            ApiError: 404, there is no event ``after``.
        """
        where, values = "job_id = ?", [job_id]
        with self._state.connection() as connection:
            if after is not None:
                known = connection.execute(
                    "SELECT 1 FROM job_events WHERE id = ? AND job_id = ?", (after, job_id)
                ).fetchone()
                if known is None:
                    raise not_found("event", after, param="after")
                where, values = f"{where} AND seq < (SELECT seq FROM job_events WHERE id = ?)", [*values, after]
            rows = connection.execute(
                "SELECT id, created_at, level, type, message, data FROM job_events "
                f"WHERE {where} ORDER BY seq DESC LIMIT ?",
                (*values, limit + 1),
            ).fetchall()
        return [_shown(*row) for row in rows[:limit]], len(rows) > limit

    def metrics(self, job_id: str) -> list[dict[str, Any]]:
        """The figures of each step, in order; of a step done again, the later ones."""
        with self._state.connection() as connection:
            rows = connection.execute(
                "SELECT data FROM job_events WHERE job_id = ? AND type = 'metrics' ORDER BY seq", (job_id,)
            ).fetchall()
        steps = {data["step"]: data for data in (json.loads(row[0]) for row in rows)}
        return [steps[step] for step in sorted(steps)]

    def last_metrics(self, job_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The newest figures of each job that has any."""
        marks = ", ".join("?" for _ in job_ids)
        with self._state.connection() as connection:
            rows = connection.execute(
                "SELECT job_id, data FROM job_events WHERE seq IN (SELECT max(seq) FROM job_events "
                f"WHERE type = 'metrics' AND job_id IN ({marks}) GROUP BY job_id)",
                tuple(job_ids),
            ).fetchall()
        return {job_id: json.loads(data) for job_id, data in rows}

    def add_checkpoint(self, job_id: str, step: int, at: float, metrics: dict[str, Any], most: int) -> None:
        """Note a checkpoint, and forget all but the newest ``most``."""
        with self._state.connection() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO checkpoints (id, job_id, step, created_at, metrics) VALUES (?, ?, ?, ?, ?)",
                (new_id("ftckpt_"), job_id, step, int(at), json.dumps(metrics)),
            )
            connection.execute(
                "DELETE FROM checkpoints WHERE job_id = ? AND step NOT IN "
                "(SELECT step FROM checkpoints WHERE job_id = ? ORDER BY step DESC LIMIT ?)",
                (job_id, job_id, most),
            )

    def checkpoints(self, job: JobRecord, *, after: str | None, limit: int) -> tuple[list[dict[str, Any]], bool]:
        """Checkpoints of a job as OpenAI shows them, newest first, and whether there are more."""
        with self._state.connection() as connection:
            rows = connection.execute(
                "SELECT id, step, created_at, metrics FROM checkpoints WHERE job_id = ? ORDER BY step DESC", (job.id,)
            ).fetchall()
        ids = [row[0] for row in rows]
        if after is not None and after not in ids:
            raise not_found("checkpoint", after, param="after")
        start = 0 if after is None else ids.index(after) + 1
        shown = [
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
        return shown, start + limit < len(rows)

    def delete_checkpoints(self, job_id: str, step: int | None) -> None:
        """Forget one checkpoint of a job, or all."""
        with self._state.connection() as connection:
            connection.execute("DELETE FROM checkpoints WHERE job_id = ? AND step = coalesce(?, step)", (job_id, step))


def _tell(connection: sqlite3.Connection, job_id: str, told: Sequence[Told]) -> None:
    now = time.time()
    connection.executemany(
        "INSERT INTO job_events (id, job_id, created_at, level, type, message, data) VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (
                new_id("ftevent-"),
                job_id,
                int(now if one.at is None else one.at),
                one.level,
                "message" if one.data is None else "metrics",
                one.message,
                json.dumps(one.data or {}),
            )
            for one in told
        ],
    )


def _shown(event_id: str, created_at: int, level: str, kind: str, message: str, data: str) -> dict[str, Any]:
    return {
        "object": "fine_tuning.job.event",
        "id": event_id,
        "created_at": created_at,
        "level": level,
        "message": message,
        "type": kind,
        "data": json.loads(data),
    }
