"""A lock on a run's folder that a process holds for as long as it works on the run.

The operating system releases it when the last process that holds it ends, in whatever way, and no clock is read. A
process passes its lock to a worker that it starts, so there is no moment at which nobody holds it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Iterator
from pathlib import Path

__all__ = ["STARTING", "WORKER", "RunLock", "is_locked", "starting"]

STARTING = "starting.lock"
"""Held by the process that starts a run, from before its record is in the store until its worker or job is noted."""
WORKER = "worker.lock"
"""Held by the worker of a local run, and by the process that starts it."""

_HELD = (errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK)
_RETRY_S = 0.02
_PROBE_PATIENCE_S = 0.5
"""How long to try for a lock that somebody may only be looking at."""


class RunLock:
    """A lock that this process holds.

    Args:
        handle: the open lock file; None where the system or the file system has no such locks.
    """

    def __init__(self, handle: int | None) -> None:
        self.handle = handle
        _held.add(self)

    @classmethod
    def acquire(cls, folder: Path, name: str = WORKER) -> RunLock | None:
        """Lock a run's folder.

        Args:
            folder: the run's folder; created if it does not exist.
            name: name of the lock.

        Returns:
            The lock; None if another process holds it.
        """
        folder.mkdir(parents=True, exist_ok=True)
        deadline = time.monotonic() + _PROBE_PATIENCE_S
        handle = os.open(folder / name, os.O_RDWR | os.O_CREAT, 0o644)
        while True:
            held = _flock(handle, shared=False)
            if held:
                return cls(handle)
            if held is None or time.monotonic() > deadline:
                os.close(handle)
                return cls(None) if held is None else None
            time.sleep(_RETRY_S)

    @classmethod
    def adopt(cls, handle: int) -> RunLock:
        """Take over a lock from the process that started this one. Processes that this one starts do not get it.

        Args:
            handle: the open lock file.

        Returns:
            The lock.
        """
        os.set_inheritable(handle, False)
        return cls(handle)

    def close(self) -> None:
        """Give up this process's hold. The lock is free when no other process has it."""
        if self.handle is not None:
            handle, self.handle = self.handle, None
            _held.discard(self)
            os.close(handle)


def is_locked(folder: Path, name: str = WORKER) -> bool | None:
    """Say whether a process works on a run. Writes nothing.

    Args:
        folder: the run's folder, which need not exist.
        name: name of the lock.

    Returns:
        Whether the lock is held; None where the system or the file system has no such locks, or it is unreadable.
    """
    try:
        handle = os.open(folder / name, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return None
    try:
        # A shared lock does not disturb others who only look.
        free = _flock(handle, shared=True)
    finally:
        os.close(handle)
    return None if free is None else not free


@contextlib.contextmanager
def starting(folder: Path) -> Iterator[None]:
    """Hold :data:`STARTING` while a run is created and started.

    Args:
        folder: the run's folder; created if it does not exist.

    Yields:
        Nothing, while the lock is held.
    """
    try:
        lock = RunLock.acquire(folder, STARTING)
    except OSError:  # a full or read-only disk, which the store names
        lock = None
    try:
        yield
    finally:
        if lock is not None:
            lock.close()


_held: set[RunLock] = set()
"""The locks of this process."""


def _leave_to_parent() -> None:
    """Close the locks in a process that was forked, so that it does not keep them after its parent's end."""
    for lock in [*_held]:
        lock.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)


def _flock(handle: int, *, shared: bool) -> bool | None:
    """Try to lock; True if it worked, False if another process has the lock, None if there are no such locks."""
    try:
        import fcntl
    except ImportError:
        return None
    try:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        return False if error.errno in _HELD else None
    return True
