"""The events of a worker on their way to the store and to the log. A full disk delays them and does not end the run."""

from __future__ import annotations

import errno
import io
import json
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from typing_extensions import override

from ftkit.errors import StorageError
from ftkit.store import EventKind, Store

__all__ = ["EventLog", "keep_trying", "tolerate_full_disk"]

T = TypeVar("T")
_Event = tuple[float, EventKind, dict[str, Any]]

_MOST_WAITING = 100_000
_RETRY_S = 0.5


class EventLog:
    """Adds a run's events to the store. Those that the disk does not take wait in memory.

    Args:
        store: the store of runs.
        run_id: id of the run.
    """

    def __init__(self, store: Store, run_id: str) -> None:
        self._store, self._run_id = store, run_id
        self._waiting: deque[_Event] = deque(maxlen=_MOST_WAITING)
        self._problem: str | None = None

    def append(self, kind: Any, data: dict[str, Any]) -> None:
        """Add an event, and all that wait.

        Args:
            kind: the kind of event, see :data:`~ftkit.store.EventKind`.
            data: its data, see :class:`~ftkit.store.Event`.
        """
        print(time.strftime("%H:%M:%S"), kind, json.dumps(data, ensure_ascii=False), flush=True)  # noqa: T201
        self._waiting.append((time.time(), kind, data))
        try:
            self.flush()
        except StorageError as error:
            self._problem = str(error)

    def flush(self) -> None:
        """Add all events that wait, in one transaction.

        Raises:
            StorageError: the disk still does not take them. They go on waiting.
        """
        if not self._waiting:
            return
        late: dict[str, Any] = {"message": f"events were stored late: {self._problem}"}
        note: list[_Event] = [] if self._problem is None else [(time.time(), "warning", late)]
        self._store.append_all(self._run_id, [*self._waiting, *note])
        self._waiting.clear()
        self._problem = None


def keep_trying(action: Callable[[], T], patience_s: float) -> T:
    """Do something that writes to the store; wait while the disk is full.

    Args:
        action: what to do.
        patience_s: how long to wait.

    Returns:
        The result of ``action``.

    Raises:
        StorageError: the disk was full until the end.
    """
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return action()
        except StorageError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_RETRY_S)


def tolerate_full_disk() -> None:
    """Let standard output and standard error drop what a full disk does not take, instead of failing."""
    sys.stdout, sys.stderr = (
        io.TextIOWrapper(_Tolerant(number, "w", closefd=False), "utf-8", "replace", line_buffering=True)
        for number in (1, 2)
    )


class _Tolerant(io.FileIO):
    """A file whose writes succeed on a full disk, without effect."""

    @override
    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
                raise
            return memoryview(data).nbytes
