"""Files over SFTP. A transfer that was cut goes on where it stopped, and counts only with the right digest."""

from __future__ import annotations

import hashlib
import logging
import tempfile
import time
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

from filelock import FileLock

from ftkit.backends.ssh.connection import CUT, connection_error, end, read_tail, start
from ftkit.backends.ssh.remote_machine import RemoteMachine
from ftkit.backends.ssh.session import PATIENCE_S, Session
from ftkit.errors import HostError, RunError
from ftkit.files import create_folder, replace_folder

__all__ = ["fetch_folder", "send_file"]

_LOG = logging.getLogger("ftkit.ssh")
_RETRY_S = 1.0


def send_file(session: Session, file: Path, digest: str) -> None:
    """Send a file, unless the machine has one of this content.

    Args:
        session: the session with the machine.
        file: the file.
        digest: its SHA-256, 64 hex digits.

    Raises:
        HostError: the connection stayed down, or there is no room.
        RunError: the file changes while it is sent.
    """
    size = file.stat().st_size

    def there() -> tuple[int, str | None]:
        reply = session.call("receive", digest=digest, size=size)
        return int(reply["part"]), None if reply["whole"] else str(reply["path"])

    def move(part: int, path: str) -> None:
        command = "reput" if part else "put"
        _sftp(session.machine, f"{command} {_quoted(str(file))} {_quoted(path)}")

    _move_until_whole(session, file.name, size, there, move)


def fetch_folder(session: Session, source: str, files: list[dict[str, Any]], target: Path, key: str) -> None:
    """Fetch a folder, which is there when all its files are.

    Args:
        session: the session with the machine.
        source: the folder there.
        files: ``name``, ``size`` and ``sha256`` of each file in it.
        target: a new or empty folder here.
        key: names the unfinished folder beside ``target``, in which a later call goes on.

    Raises:
        HostError: the connection stayed down, or a file has not the digest that the machine gave.
        RunError: the folder is not empty, or a file would lie outside of it.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise RunError(f"{target} is not an empty folder; name a new one for the weights")
    create_folder(target.parent)
    partial = target.with_name(f".{target.name}.{hashlib.sha256(key.encode()).hexdigest()[:12]}.fetched")
    with FileLock(f"{partial}.lock"):
        partial.mkdir(exist_ok=True)
        for entry in files:
            _fetch(session, source, entry, partial)
        wanted = {str(entry["name"]) for entry in files}
        for file in [each for each in partial.rglob("*") if each.is_file()]:
            if file.relative_to(partial).as_posix() not in wanted:  # of an earlier model of the run
                file.unlink()
        replace_folder(partial, target)
    Path(f"{partial}.lock").unlink(missing_ok=True)


def _fetch(session: Session, source: str, entry: dict[str, Any], folder: Path) -> None:
    name, size, digest = str(entry["name"]), int(entry["size"]), str(entry["sha256"])
    parts = PurePosixPath(name).parts
    if not parts or ".." in parts or PurePosixPath(name).is_absolute():
        raise RunError(f"{session.machine.destination} lists a file {name!r}, which lies outside of the model's folder")
    file = folder.joinpath(*parts)
    file.parent.mkdir(parents=True, exist_ok=True)

    def there() -> tuple[int, str | None]:
        part = file.stat().st_size if file.is_file() else 0
        if part == size and file.is_file() and _digest(file) == digest:
            return part, None
        if part >= size and file.is_file():
            file.unlink()
            part = 0
        return part, f"{source}/{name}"

    def move(part: int, path: str) -> None:
        if size == 0:
            file.touch()
            return
        _sftp(session.machine, f"{'reget' if part else 'get'} {_quoted(path)} {_quoted(str(file))}")

    _move_until_whole(session, name, size, there, move)


def _move_until_whole(
    session: Session,
    name: str,
    size: int,
    there: Callable[[], tuple[int, str | None]],
    move: Callable[[int, str], None],
) -> None:
    """Move a file, again and again while it gets on."""
    most, wrong, deadline = -1, 0, time.monotonic() + PATIENCE_S
    failure: HostError | None = None
    while True:
        part, path = there()
        if path is None:
            return
        if part > most:
            most, deadline = part, time.monotonic() + PATIENCE_S
        elif failure is None and most >= 0:  # it was moved without an error, and has another digest
            wrong, most = wrong + 1, -1
            if wrong > 1:
                raise RunError(f"{name}: what was moved has not the digest of the file; it may have changed meanwhile")
        if failure is not None:
            if not failure.passing or time.monotonic() > deadline:
                raise failure
            _LOG.warning("%s; going on at byte %d of %d of %s", failure, part, size, name)
            time.sleep(_RETRY_S)
        try:
            failure = None
            move(part, path)
        except HostError as error:
            failure = error


def _sftp(machine: RemoteMachine, command: str) -> None:
    """Run one command of sftp."""
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as batch:
        batch.write(f"{command}\n".encode())
        batch.seek(0)
        with tempfile.TemporaryFile() as output:
            process = start(machine.sftp_command(), said, stdin=batch, stdout=output)
            try:
                status = process.wait()
            finally:
                end(process)
        if status:
            text = read_tail(said)
            # sftp ends with 1 both when a command fails and when the connection is cut under it.
            lost = any(sign in text.lower() for sign in ("connection", "broken pipe", "disconnect"))
            raise connection_error(machine, CUT if lost else status, text)


def _quoted(path: str) -> str:
    """A path for sftp, whose quotes protect patterns as well."""
    if "\n" in path or "\r" in path:
        raise RunError(f"{path!r} cannot be moved by sftp, whose commands are lines; rename it")
    return '"' + path.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
