"""The server's tables, in a SQLite file beside the store of runs, and its folder for files."""

from __future__ import annotations

import secrets
import string
from pathlib import Path

from ftkit.files import disk_is_full
from ftkit.store import Database, Store

__all__ = ["State", "new_id"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS keys (
    id TEXT PRIMARY KEY, project TEXT NOT NULL, digest TEXT NOT NULL UNIQUE, created_at INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS files (
    id TEXT PRIMARY KEY, project TEXT NOT NULL, filename TEXT NOT NULL, purpose TEXT NOT NULL, bytes INTEGER NOT NULL,
    created_at INTEGER NOT NULL, expires_at INTEGER
);
CREATE TABLE IF NOT EXISTS uploads (
    id TEXT PRIMARY KEY, project TEXT NOT NULL, filename TEXT NOT NULL, purpose TEXT NOT NULL, bytes INTEGER NOT NULL,
    mime_type TEXT NOT NULL, status TEXT NOT NULL, created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL,
    file_id TEXT, file_expires_s INTEGER
);
CREATE TABLE IF NOT EXISTS parts (
    id TEXT PRIMARY KEY, upload_id TEXT NOT NULL REFERENCES uploads(id) ON DELETE CASCADE, bytes INTEGER NOT NULL,
    created_at INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS jobs (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, project TEXT NOT NULL, record TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS job_events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,
    job_id TEXT NOT NULL, created_at INTEGER NOT NULL, level TEXT NOT NULL, type TEXT NOT NULL,
    message TEXT NOT NULL, data TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS events_of_job ON job_events (job_id, seq);
CREATE TABLE IF NOT EXISTS checkpoints (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, job_id TEXT NOT NULL, step INTEGER NOT NULL,
    created_at INTEGER NOT NULL, metrics TEXT NOT NULL, UNIQUE (job_id, step)
);
CREATE TABLE IF NOT EXISTS responses (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, project TEXT NOT NULL, created_at INTEGER NOT NULL,
    previous_id TEXT, record TEXT NOT NULL, items TEXT NOT NULL, messages TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS responses_of_project ON responses (project, seq);
CREATE TABLE IF NOT EXISTS response_items (
    response_id TEXT NOT NULL REFERENCES responses(id) ON DELETE CASCADE, project TEXT NOT NULL, id TEXT NOT NULL,
    item TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS response_items_by_id ON response_items (project, id);
CREATE INDEX IF NOT EXISTS items_of_response ON response_items (response_id);
CREATE TABLE IF NOT EXISTS response_sizes (
    response_id TEXT PRIMARY KEY REFERENCES responses(id) ON DELETE CASCADE, bytes INTEGER NOT NULL
);
"""
_VERSION = 3
"""Version 2 added the table of responses, version 3 that of their items and that of their sizes."""
_LETTERS = string.ascii_letters + string.digits


def new_id(prefix: str, length: int = 24) -> str:
    """Create a random id that cannot be guessed. It has only letters and digits, so it may name a file.

    Args:
        prefix: beginning of the id.
        length: number of random characters.

    Returns:
        The id.
    """
    return prefix + "".join(secrets.choice(_LETTERS) for _ in range(length))


class State:
    """The server's tables and the paths of its files.

    Args:
        store: the store of runs; the server's database and folder are beside it.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.folder = store.folder / "server"
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.connection = Database(store.folder / "server.sqlite3", _SCHEMA, _VERSION, holds="the server").connection

    def disk_is_full(self) -> bool:
        """Say whether the disk of the home folder has no room left. Reading and chat work on a full disk.

        Returns:
            Whether it is full.
        """
        return disk_is_full(self.folder)

    def content(self, object_id: str) -> Path:
        """Return the path of the content of a file or a part.

        Args:
            object_id: an id from :func:`new_id` that was read from a table.

        Returns:
            The path.
        """
        return self.folder / "contents" / object_id

    def job_folder(self, job_id: str) -> Path:
        """Return the folder of a job's rows.

        Args:
            job_id: the job's id.

        Returns:
            The folder.
        """
        return self.folder / "jobs" / job_id
