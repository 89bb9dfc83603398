"""The files the server holds."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ftkit.server.errors import ApiError, not_found
from ftkit.server.state import State, new_id

__all__ = ["FileTable", "StoredFile"]

_COLUMNS = "id, filename, purpose, bytes, created_at, expires_at"


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file. Times in Unix seconds."""

    id: str
    filename: str
    purpose: str
    bytes: int
    created_at: int
    expires_at: int | None

    def shown(self) -> dict[str, Any]:
        """As OpenAI's API shows it."""
        found = {
            "id": self.id,
            "object": "file",
            "bytes": self.bytes,
            "created_at": self.created_at,
            "filename": self.filename,
            "purpose": self.purpose,
            "status": "processed",
        }
        return found if self.expires_at is None else found | {"expires_at": self.expires_at}


class FileTable:
    """Files by project. Contents lie under ids that the server drew, so no client's word is part of a path."""

    def __init__(self, state: State) -> None:
        self._state = state

    def place(self) -> Path:
        """Where a content may be written that :meth:`add` then takes."""
        return self._state.content(new_id("incoming-"))

    def add(
        self,
        project: str,
        filename: str,
        purpose: str,
        content: Path,
        *,
        expires_s: int | None = None,
        upload_id: str | None = None,
        file_id: str | None = None,
    ) -> StoredFile:
        """Take the file ``content`` over.

        Args:
            expires_s: seconds until it is deleted; ``None`` keeps it.
            upload_id: the upload that is completed by it, in the same transaction.
            file_id: its id, taking the place of what a crash left under it; drawn by default.

        Raises:
            ApiError: the upload has ended meanwhile.
        """
        now = int(time.time())
        size = content.stat().st_size
        made = StoredFile(
            file_id or new_id("file-"), filename, purpose, size, now, None if expires_s is None else now + expires_s
        )
        os.replace(content, self._state.content(made.id))
        with self._state.connection() as connection:
            if upload_id is not None:
                ours = connection.execute(
                    "UPDATE uploads SET status = 'completed', file_id = ? WHERE id = ? AND status = 'pending'",
                    (made.id, upload_id),
                ).rowcount
                if not ours:
                    self._state.content(made.id).unlink()
                    raise ApiError(400, f"The upload {upload_id} has ended.", param="upload_id", code="upload_ended")
            connection.execute(
                "INSERT OR REPLACE INTO files (project, id, filename, purpose, bytes, created_at, expires_at) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                (project, made.id, filename, purpose, size, now, made.expires_at),
            )
        return made

    def get(self, file_id: str, project: str) -> StoredFile:
        """The file of that id.

        Raises:
            ApiError: 404, there is none in the project.
        """
        with self._state.connection() as connection:
            row = connection.execute(
                f"SELECT {_COLUMNS} FROM files WHERE id = ? AND project = ? AND coalesce(expires_at, ?) > ?",
                (file_id, project, time.time() + 1, time.time()),
            ).fetchone()
        if row is None:
            raise not_found("File object", file_id)
        return StoredFile(*row)

    def content(self, file: StoredFile) -> Path:
        """Where its content lies."""
        return self._state.content(file.id)

    def page(
        self, project: str, *, purpose: str | None, after: str | None, limit: int, newest_first: bool
    ) -> tuple[list[StoredFile], bool]:
        """Files of a project, and whether there are more.

        Raises:
            ApiError: 404, there is no file ``after``.
        """
        with self._state.connection() as connection:
            # rowid rises with every file, also of those of the same second.
            where, values = "project = ? AND coalesce(expires_at, ?) > ?", [project, time.time() + 1, time.time()]
            if purpose is not None:
                where, values = f"{where} AND purpose = ?", [*values, purpose]
            sign, direction = ("<", "DESC") if newest_first else (">", "ASC")
            if after is not None:
                self.get(after, project)
                where = f"{where} AND rowid {sign} (SELECT rowid FROM files WHERE id = ?)"
                values = [*values, after]
            rows = connection.execute(
                f"SELECT {_COLUMNS} FROM files WHERE {where} ORDER BY rowid {direction} LIMIT ?",
                (*values, limit + 1),
            ).fetchall()
        return [StoredFile(*row) for row in rows[:limit]], len(rows) > limit

    def delete(self, file_id: str, project: str) -> None:
        """Delete a file; jobs that were created from it have a copy of their own.

        Raises:
            ApiError: 404, there is none in the project.
        """
        self.get(file_id, project)
        with self._state.connection() as connection:
            connection.execute("DELETE FROM files WHERE id = ?", (file_id,))
        with contextlib.suppress(FileNotFoundError):
            self._state.content(file_id).unlink()

    def jobs_with_files(self) -> set[str]:
        """The jobs whose training file is still held."""
        with self._state.connection() as connection:
            rows = connection.execute(
                "SELECT jobs.id FROM jobs JOIN files ON files.id = json_extract(jobs.record, '$.training_file')"
            ).fetchall()
        return {row[0] for row in rows}

    def sweep(self) -> None:
        """Delete files whose time has come, and contents that nothing names: what a crash or a broken upload left."""
        now = time.time()
        with self._state.connection() as connection:
            connection.execute("DELETE FROM files WHERE expires_at <= ?", (now,))
            connection.execute(
                "UPDATE uploads SET status = 'expired' WHERE status = 'pending' AND expires_at <= ?", (now,)
            )
            connection.execute(
                "DELETE FROM parts WHERE upload_id IN (SELECT id FROM uploads WHERE status != 'pending')"
            )
            known = {row[0] for row in connection.execute("SELECT id FROM files UNION SELECT id FROM parts")}
        folder = self._state.content("x").parent
        for path in folder.iterdir() if folder.is_dir() else ():
            with contextlib.suppress(FileNotFoundError):
                # One that is being written has no name in the tables yet, and is young.
                if path.name not in known and now - path.stat().st_mtime > _YOUNG_S:
                    path.unlink()


_YOUNG_S = 3600.0
