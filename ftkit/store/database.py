"""A SQLite file that several processes read and write at once, and that can be read when it cannot be written."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from ftkit.errors import RunError, StorageError
from ftkit.files import disk_is_full

__all__ = ["Database"]

_BUSY_TIMEOUT_S = 30.0
_WRITE_AHEAD = b"\x02\x02"
"""Bytes 18 and 19 of a SQLite file with a write-ahead log, see https://sqlite.org/fileformat2.html."""


class Database:
    """One SQLite file with its tables. Safe across processes, threads and forks.

    The file is created at the first write. Until then reading finds empty tables. Reading writes nothing, so it works
    on a full disk and in a folder that is read-only.

    Args:
        path: the file.
        schema: SQL that creates missing tables and indexes and leaves existing ones unchanged.
        version: version of the schema. A file of a later version is refused.
        holds: what the file contains, for messages.
        migrations: SQL statements by the version that they lead to, for files of an earlier version.

    Raises:
        RunError: the path is no file, the file is damaged, or a newer ftkit wrote it.
    """

    def __init__(
        self, path: Path, schema: str, version: int, *, holds: str, migrations: Mapping[int, str] | None = None
    ) -> None:
        self.path, self.holds = path, holds
        self._schema, self._version, self._migrations = schema, version, migrations or {}
        with self.reading():
            pass

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Open a connection to read. Nothing is written, and a file that does not exist is not created.

        Yields:
            The connection.

        Raises:
            RunError: the file cannot be read.
        """
        with self._guarded(self._open_to_read) as connection:
            yield connection

    @contextlib.contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """Open a connection for one transaction, which is committed on exit and rolled back on an exception.

        Each call opens a new connection: that is cheap, and safe across threads and forks.

        Yields:
            The connection.

        Raises:
            StorageError: the file cannot be written: the disk is full, or the folder is read-only.
            RunError: the file cannot be used.
        """
        with self._guarded(self._open_to_write) as connection, connection:
            yield connection

    @contextlib.contextmanager
    def _guarded(self, open_connection: Callable[[], sqlite3.Connection]) -> Iterator[sqlite3.Connection]:
        connection = None
        try:
            connection = open_connection()
            yield connection
        except sqlite3.DatabaseError as error:
            raise self._problem(error) from error
        finally:
            if connection is not None:
                connection.close()

    def _open_to_read(self) -> sqlite3.Connection:
        if not self._exists():
            return self._empty()
        connection = self._connect()
        try:
            version = _user_version(connection)
            if version == 0:  # created by a process that was killed before it wrote the tables
                connection.close()
                return self._empty()
            if version != self._version:
                try:
                    self._migrate(connection)
                except sqlite3.OperationalError as error:
                    if not isinstance(self._problem(error), StorageError):
                        raise
                    connection.rollback()  # an earlier version can be read, too
        except BaseException:
            connection.close()
            raise
        return connection

    def _open_to_write(self) -> sqlite3.Connection:
        if not self._exists():
            with contextlib.suppress(OSError):
                self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        connection = self._connect()
        try:
            if _user_version(connection) != self._version:
                self._migrate(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _connect(self) -> sqlite3.Connection:
        path = str(self.path)
        logged = _has_write_ahead_log(self.path)
        if logged and not (os.access(self.path, os.W_OK) and os.access(self.path.parent, os.W_OK)):
            # Reading a write-ahead log writes an index beside it; where that is impossible, nobody else writes either.
            path = f"{self.path.absolute().as_uri()}?immutable=1"
        connection = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, uri=path.startswith("file:"))
        try:
            # With a rollback journal, reading needs no file beside the database. A write-ahead log needs one, which
            # cannot be created on a full disk. Each commit is flushed to disk, in both.
            if logged:  # of version 0.1; it stays so while a process of that version has it open
                connection.execute("PRAGMA busy_timeout = 0")
            with contextlib.suppress(sqlite3.OperationalError) if logged else contextlib.nullcontext():
                connection.execute("PRAGMA journal_mode = TRUNCATE")
            connection.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_S * 1000:.0f}")
            connection.execute("PRAGMA foreign_keys = ON")
        except BaseException:
            connection.close()
            raise
        return connection

    def _empty(self) -> sqlite3.Connection:
        connection = sqlite3.connect(":memory:")
        connection.executescript(self._schema)
        return connection

    def _exists(self) -> bool:
        """Say whether there is a file; refuse anything else that has its name."""
        try:
            mode = os.stat(self.path).st_mode
        except FileNotFoundError:
            return False
        except OSError as error:
            raise RunError(f"the store of {self.holds} {self.path} cannot be used: {error.strerror}") from error
        if stat.S_ISREG(mode):
            return True
        kind = "a folder" if stat.S_ISDIR(mode) else "no regular file"
        raise RunError(
            f"{self.path} is {kind}, but the store of {self.holds} is a SQLite file of that name; move it away, or set "
            "FTKIT_HOME to another folder"
        )

    def _migrate(self, connection: sqlite3.Connection) -> None:
        found = _user_version(connection)
        if found > self._version:
            raise RunError(f"{self.path} was written by a newer ftkit (store version {found}); update ftkit")
        connection.execute("BEGIN IMMEDIATE")  # one process creates or migrates; others then read the new version
        found = _user_version(connection)
        for step in range(found + 1, self._version + 1) if found else ():
            if step in self._migrations:
                connection.execute(self._migrations[step])
        for statement in filter(str.strip, self._schema.split(";")):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {self._version}")
        connection.commit()

    def _problem(self, error: sqlite3.DatabaseError) -> RunError:
        """Say what a SQLite error means, and what to do."""
        code = getattr(error, "sqlite_errorcode", None) or 0
        where = f"the store of {self.holds} {self.path}"
        kind = code & 0xFF
        if kind == sqlite3.SQLITE_FULL or (kind == sqlite3.SQLITE_IOERR and disk_is_full(self.path.parent)):
            return StorageError(
                f"the disk is full, so {where} cannot be written. Reading still works; free some space and try again",
                full=True,
            )
        if kind == sqlite3.SQLITE_READONLY or (
            kind == sqlite3.SQLITE_CANTOPEN and not os.access(self.path.parent, os.W_OK)
        ):
            return StorageError(
                f"{where} cannot be written: it is read-only. Reading still works; set FTKIT_HOME to a folder that "
                "can be written"
            )
        if kind == sqlite3.SQLITE_BUSY:
            return StorageError(
                f"{where} cannot be written: another process has kept it locked for {_BUSY_TIMEOUT_S:.0f} s"
            )
        if kind == sqlite3.SQLITE_IOERR:
            return StorageError(f"{where} cannot be written: {error}; the disk is failing, or a quota is used up")
        if kind in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return RunError(
                f"{where} cannot be used: {error}. The folders beside it still have the runs' files; move the file "
                f"away to start a new store, or repair a copy with `sqlite3 {self.path.name} .recover`"
            )
        return RunError(f"{where} cannot be used: {error}")


def _user_version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _has_write_ahead_log(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(20)[18:] == _WRITE_AHEAD
    except OSError:
        return False
