"""A SQLite file that several processes write at once."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from ftkit.errors import RunError

__all__ = ["Database"]

_WAIT_S = 30.0


class Database:
    """One file with its tables. Safe across processes, threads and forks.

    Args:
        path: the file, made when missing.
        schema: SQL that makes what is not there yet, and harms nothing that is.
        version: of the schema. A file of a later one is refused.
        holds: what is in it, for messages.

    Raises:
        RunError: it cannot be used, or was written by a newer ftkit.
    """

    def __init__(self, path: Path, schema: str, version: int, *, holds: str) -> None:
        self.path, self.holds = path, holds
        with self.connection() as connection:
            # Readers go on while another writes, and a crash loses nothing that was committed.
            connection.execute("PRAGMA journal_mode=WAL")
            found = connection.execute("PRAGMA user_version").fetchone()[0]
            if found > version:
                raise RunError(f"{path} was written by a newer ftkit (version {found} of the store); update ftkit")
            connection.executescript(schema)
            connection.execute(f"PRAGMA user_version = {version}")

    @contextlib.contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """A connection for one transaction; a fresh one each time is safe across threads and forks, and cheap.

        Raises:
            RunError: the file cannot be read or written.
        """
        connection = sqlite3.connect(self.path, timeout=_WAIT_S)
        try:
            connection.execute("PRAGMA foreign_keys = ON")
            with connection:
                yield connection
        except sqlite3.DatabaseError as error:
            raise RunError(f"the store of {self.holds} {self.path} cannot be used: {error}") from error
        finally:
            connection.close()
