"""A lock on a folder that the operating system releases when its holder dies."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from ftkit.errors import StorageError
from ftkit.files import says_disk_full

__all__ = ["try_lock"]


@contextlib.contextmanager
def try_lock(folder: Path, name: str = "submitting.lock") -> Iterator[bool]:
    """Try to lock a folder against other threads and processes; do not wait.

    Args:
        folder: the folder; created if it does not exist.
        name: name of the lock file in it.

    Yields:
        Whether the lock was free and is now held.

    Raises:
        StorageError: the disk is full or read-only.
    """
    from filelock import FileLock, Timeout  # takes 0.1 s to import

    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / name, thread_local=False)
        lock.acquire(blocking=False)
    except Timeout:
        yield False
        return
    except OSError as error:
        full = says_disk_full(error)
        reason = "the disk is full" if full else error.strerror
        raise StorageError(f"{folder} cannot be locked: {reason}", full=full) from error
    try:
        yield True
    finally:
        lock.release()
