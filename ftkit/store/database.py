"""A SQLite file that several processes write at once."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path

from ftkit.errors import RunError

__all__ = ["Database"]

_BUSY_TIMEOUT_S = 30.0


class Database:
    """One SQLite file with its tables. Safe across processes, threads and forks.

    Args:
        path: the file; created if it does not exist.
        schema: SQL that creates missing tables and indexes and leaves existing ones unchanged.
        version: version of the schema. A file of a later version is refused.
        holds: what the file contains, for messages.
        migrations: SQL statements by the version that they lead to, for files of an earlier version.

    Raises:
        RunError: the file cannot be used, or a newer ftkit wrote it.
    """

    def __init__(
        self, path: Path, schema: str, version: int, *, holds: str, migrations: Mapping[int, str] | None = None
    ) -> None:
        self.path, self.holds = path, holds
        with self.connection() as connection:
            # With a write-ahead log, readers do not wait for writers, and a crash loses nothing that was committed.
            connection.execute("PRAGMA journal_mode=WAL")
            if self._version(connection) not in (0, version):
                self._migrate(connection, version, migrations or {})
            connection.executescript(schema)
            connection.execute(f"PRAGMA user_version = {version}")

    @contextlib.contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """Open a connection for one transaction, which is committed on exit and rolled back on an exception.

        Each call opens a new connection: that is cheap, and safe across threads and forks.

        Yields:
            The connection.

        Raises:
            RunError: the file cannot be read or written.
        """
        connection = sqlite3.connect(self.path, timeout=_BUSY_TIMEOUT_S)
        try:
            connection.execute("PRAGMA foreign_keys = ON")
            with connection:
                yield connection
        except sqlite3.DatabaseError as error:
            raise RunError(f"the store of {self.holds} {self.path} cannot be used: {error}") from error
        finally:
            connection.close()

    @staticmethod
    def _version(connection: sqlite3.Connection) -> int:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])

    def _migrate(self, connection: sqlite3.Connection, version: int, migrations: Mapping[int, str]) -> None:
        connection.execute("BEGIN IMMEDIATE")  # one process migrates; others then read the new version
        found = self._version(connection)
        if found > version:
            raise RunError(f"{self.path} was written by a newer ftkit (store version {found}); update ftkit")
        for step in range(found + 1, version + 1):
            if step in migrations:
                connection.execute(migrations[step])
        connection.execute(f"PRAGMA user_version = {version}")
        connection.commit()
