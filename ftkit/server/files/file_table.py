"""The server's files: a table of what is known of them, and a folder with their contents."""

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
_ORPHAN_AGE_S = 3600.0


@dataclass(frozen=True, slots=True)
class StoredFile:
    """What is known of a file. Times are Unix seconds."""

    id: str
    filename: str
    purpose: str
    bytes: int
    created_at: int
    expires_at: int | None

    def to_openai(self) -> dict[str, Any]:
        """Convert to a file object of OpenAI's API.

        Returns:
            A dict for JSON.
        """
        fields = {
            "id": self.id,
            "object": "file",
            "bytes": self.bytes,
            "created_at": self.created_at,
            "filename": self.filename,
            "purpose": self.purpose,
            "status": "processed",
        }
        return fields if self.expires_at is None else fields | {"expires_at": self.expires_at}


class FileTable:
    """The files of all projects. Contents are named by ids that the server chose, so no client text is part of a path.

    Args:
        state: the server's tables.
    """

    def __init__(self, state: State) -> None:
        self._state = state

    def new_path(self) -> Path:
        """Choose a path for a new content, to be passed to :meth:`add` when it is complete.

        Returns:
            A path in the folder of contents. No file is created.
        """
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
        """Add a file, moving ``content`` into the folder of contents.

        Args:
            project: the owning project.
            filename: the client's name for the file.
            purpose: OpenAI's purpose, e.g. ``"fine-tune"``.
            content: complete file, from :meth:`new_path`.
            expires_s: seconds until the file is deleted; ``None`` keeps it.
            upload_id: upload that this file completes, in the same transaction.
            file_id: id of the file; replaces what a crash left under it. A new id by default.

        Returns:
            The added file.

        Raises:
            ApiError: 400 if the upload has ended in the meantime.
        """
        now = int(time.time())
        size = content.stat().st_size
        file = StoredFile(
            file_id or new_id("file-"), filename, purpose, size, now, None if expires_s is None else now + expires_s
        )
        os.replace(content, self._state.content(file.id))
        with self._state.connection() as connection:
            if upload_id is not None:
                updated = connection.execute(
                    "UPDATE uploads SET status = 'completed', file_id = ? WHERE id = ? AND status = 'pending'",
                    (file.id, upload_id),
                ).rowcount
                if not updated:
                    self._state.content(file.id).unlink()
                    raise ApiError(400, f"The upload {upload_id} has ended.", param="upload_id", code="upload_ended")
            connection.execute(
                "INSERT OR REPLACE INTO files (project, id, filename, purpose, bytes, created_at, expires_at) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                (project, file.id, filename, purpose, size, now, file.expires_at),
            )
        return file

    def get(self, file_id: str, project: str) -> StoredFile:
        """Return a file.

        Args:
            file_id: the file's id.
            project: the project that must own it.

        Returns:
            What is known of the file.

        Raises:
            ApiError: 404 if the project has no such file.
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
        """Return the path of a file's content.

        Args:
            file: a file of this table.

        Returns:
            The path.
        """
        return self._state.content(file.id)

    def page(
        self, project: str, *, purpose: str | None, after: str | None, limit: int, newest_first: bool
    ) -> tuple[list[StoredFile], bool]:
        """List a page of a project's files.

        Args:
            project: the owning project.
            purpose: only files of this purpose; ``None`` lists all.
            after: id of the last file of the previous page; ``None`` starts at the first.
            limit: largest number of files.
            newest_first: the order.

        Returns:
            The files, and whether there are more.

        Raises:
            ApiError: 404 if there is no file ``after``.
        """
        with self._state.connection() as connection:
            # rowid orders files that were created in the same second.
            conditions, values = "project = ? AND coalesce(expires_at, ?) > ?", [project, time.time() + 1, time.time()]
            if purpose is not None:
                conditions, values = f"{conditions} AND purpose = ?", [*values, purpose]
            sign, direction = ("<", "DESC") if newest_first else (">", "ASC")
            if after is not None:
                self.get(after, project)
                conditions = f"{conditions} AND rowid {sign} (SELECT rowid FROM files WHERE id = ?)"
                values = [*values, after]
            rows = connection.execute(
                f"SELECT {_COLUMNS} FROM files WHERE {conditions} ORDER BY rowid {direction} LIMIT ?",
                (*values, limit + 1),
            ).fetchall()
        return [StoredFile(*row) for row in rows[:limit]], len(rows) > limit

    def delete(self, file_id: str, project: str) -> None:
        """Delete a file. Jobs that were created from it have their own copy.

        Args:
            file_id: the file's id.
            project: the project that must own it.

        Raises:
            ApiError: 404 if the project has no such file.
        """
        self.get(file_id, project)
        with self._state.connection() as connection:
            connection.execute("DELETE FROM files WHERE id = ?", (file_id,))
        with contextlib.suppress(FileNotFoundError):
            self._state.content(file_id).unlink()

    def jobs_with_files(self) -> set[str]:
        """Find the jobs whose training file still exists.

        Returns:
            Ids of jobs.
        """
        with self._state.connection() as connection:
            rows = connection.execute(
                "SELECT jobs.id FROM jobs JOIN files ON files.id = json_extract(jobs.record, '$.training_file')"
            ).fetchall()
        return {row[0] for row in rows}

    def delete_expired(self) -> None:
        """Delete expired files, and contents without a row, which crashes and broken uploads leave."""
        now = time.time()
        with self._state.connection() as connection:
            connection.execute("DELETE FROM files WHERE expires_at <= ?", (now,))
            connection.execute(
                "UPDATE uploads SET status = 'expired' WHERE status = 'pending' AND expires_at <= ?", (now,)
            )
            connection.execute(
                "DELETE FROM parts WHERE upload_id IN (SELECT id FROM uploads WHERE status != 'pending')"
            )
            registered = {row[0] for row in connection.execute("SELECT id FROM files UNION SELECT id FROM parts")}
        folder = self._state.content("x").parent
        for path in folder.iterdir() if folder.is_dir() else ():
            with contextlib.suppress(FileNotFoundError):
                # A content that is being written has no row yet, and was changed recently.
                if path.name not in registered and now - path.stat().st_mtime > _ORPHAN_AGE_S:
                    path.unlink()
