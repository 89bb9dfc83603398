"""Copies of a model that answer on a cluster. Calls and replies travel over the storage.

A job of Ray's jobs API, :mod:`ftkit.backends.ray.answering`, runs as long as somebody asks. It writes each reply, and
this side reads them; each side appends to a file of its own.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import math
import os
import secrets
import threading
import time
from collections.abc import Callable
from functools import lru_cache
from queue import SimpleQueue
from typing import Any

from ftkit.backends.ray.answer_channel import answer_channel
from ftkit.backends.ray.cluster import Cluster
from ftkit.backends.ray.jobs_api import RunHandle, job_status, stop_job, submit_job
from ftkit.backends.ray.object_store import is_address
from ftkit.backends.ray.shared_files import job_command, job_environment
from ftkit.backends.remote.messages import error_from_wire
from ftkit.errors import FtkitError, HostError

__all__ = ["Replicas", "replicas_of"]

_LOG = logging.getLogger("ftkit.ray")
_POLL_S = 0.1
_IDLE_POLL_S = 1.0
_STOP_S = 10.0
_PING_S = 20.0
_STATUS_S = 5.0
_UNUSED_S = 300.0
"""Replicas that nobody asks for so long give their place back to the cluster."""
_MAX_PART = 256
"""Requests of one call to one replica."""


class Replicas:
    """Makes calls to the replicas of a cluster. They are started at the first call. Threads may share it.

    Args:
        cluster: the cluster, with its storage.
    """

    backend = "ray"

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.chunk = 4 * _MAX_PART * cluster.replicas
        self._opening = threading.Lock()
        self._open: _Session | None = None

    @property
    def place(self) -> str:
        """The cluster, as errors and reports name it."""
        return self._cluster.url()

    def call(
        self, name: str, *, on_item: Callable[[Any], None] | None = None, patience_s: float = 0.0, **arguments: Any
    ) -> Any:
        """Make a call. Requests to a model are shared out among the replicas; any other call goes to one of them.

        Args:
            name: name of the call.
            on_item: receives parts of the result before its end; after the loss of a replica perhaps again.
            patience_s: not used: a call waits as long as the job lives.
            **arguments: its arguments, plain JSON values.

        Returns:
            Its result.

        Raises:
            HostError: the job that answers has ended.
            FtkitError: what the call raised there.
        """
        if name == "close":
            self.close()
            return None
        parts = [arguments] if name != "answer" else self._parts(arguments)
        session = self._session()
        try:
            return session.call(name, parts, on_item)
        except HostError:
            if not session.was_unused:
                raise
        return self._session().call(name, parts, on_item)

    def _parts(self, arguments: dict[str, Any]) -> list[dict[str, Any]]:
        requests, numbers = arguments["requests"], arguments["numbers"]
        size = max(1, min(_MAX_PART, math.ceil(len(requests) / (2 * self._cluster.replicas))))
        return [
            {**arguments, "requests": requests[first : first + size], "numbers": numbers[first : first + size]}
            for first in range(0, len(requests), size)
        ]

    def _session(self) -> _Session:
        with self._opening:
            if self._open is None or not self._open.usable:
                self._open = _Session(self._cluster)
                atexit.register(self._open.close)
            return self._open

    def close(self) -> None:
        """End the replicas. The next call starts others."""
        with self._opening:
            if self._open is not None:
                atexit.unregister(self._open.close)
                self._open.close()
                self._open = None


@lru_cache(maxsize=32)
def replicas_of(cluster: Cluster) -> Replicas:
    """Return the replicas that everything in this process shares.

    Args:
        cluster: the cluster, with its storage.

    Returns:
        The replicas.
    """
    return Replicas(cluster)


class _Session:
    """One run of the job that answers."""

    def __init__(self, cluster: Cluster) -> None:
        self._place, self._owner = cluster.url(), os.getpid()
        self._name = f"ftkit-answers-{secrets.token_hex(8)}"
        self._handle = RunHandle(url=cluster.url(), storage=str(cluster.storage), key=self._name)
        self._channel = answer_channel(self._handle.storage, self._name)
        self._channel.open()
        self._numbers, self._numbering = 0, threading.Lock()
        self._waiting: dict[int, SimpleQueue[tuple[int, dict[str, Any]] | None]] = {}
        self._ended: str | None = None
        self._used = time.monotonic()
        self.was_unused = False
        self._wake = threading.Event()
        command = job_command(
            "ftkit.backends.ray.answering",
            self._handle.storage,
            self._name,
            str(cluster.replicas),
            str(cluster.cpus_per_worker),
            str(cluster.gpus_per_worker),
        )
        submit_job(self._name, self._handle, command, job_environment(self._handle.storage))
        _LOG.info("%s: job %s starts %d replicas", self._place, self._name, cluster.replicas)
        threading.Thread(target=self._read, name=self._name, daemon=True).start()

    @property
    def usable(self) -> bool:
        """Whether calls can be made: the job has not ended, and this process itself started it."""
        return self._ended is None and self._owner == os.getpid()

    def call(self, name: str, parts: list[dict[str, Any]], on_item: Callable[[Any], None] | None) -> Any:
        """Make a call in parts, and return the result of the last one; see :meth:`Replicas.call`."""
        replies: SimpleQueue[tuple[int, dict[str, Any]] | None] = SimpleQueue()
        with self._numbering:
            mine = set(range(self._numbers, self._numbers + len(parts)))
            self._numbers += len(parts)
            self._waiting |= dict.fromkeys(mine, replies)
        self._wake.set()
        result, open_parts = None, set(mine)
        try:
            if self._ended is None:
                for number, arguments in zip(sorted(mine), parts, strict=True):
                    self._channel.ask({"id": number, "call": name, "arguments": arguments})
            while open_parts:
                reply = None if self._ended is not None and replies.empty() else replies.get()
                if reply is None:
                    raise HostError(f"the job that answers at {self._place} has ended: {self._ended}", passing=True)
                number, said = reply
                if "item" in said:
                    if on_item is not None:
                        on_item(said["item"])
                elif "error" in said:
                    raise error_from_wire(said["error"], self._place, "ray")
                else:
                    result = said["result"]
                    open_parts.discard(number)
        except OSError as error:
            raise HostError(f"the storage of {self._place} cannot be used: {error}", passing=True) from None
        finally:
            with self._numbering:
                self._used = time.monotonic()
                for number in mine:
                    self._waiting.pop(number, None)
            if open_parts:
                with contextlib.suppress(OSError, HostError):
                    self._channel.ask({"cancel": sorted(open_parts)})
        return result

    def close(self) -> None:
        """End the job."""
        if self._owner != os.getpid():
            return
        self._end("it was closed")
        with contextlib.suppress(FtkitError):
            stop_job(self._name, self._handle)
            deadline = time.monotonic() + _STOP_S
            while is_address(self._handle.storage) and time.monotonic() < deadline:  # nothing is written after that
                if job_status(self._name, self._handle).state == "ended":
                    break
                time.sleep(_POLL_S)
        with contextlib.suppress(HostError):
            self._channel.delete()

    def _end(self, reason: str) -> None:
        self._ended = self._ended or reason
        self._wake.set()
        with self._numbering:
            waiting = [*self._waiting.values()]
        for each in waiting:
            each.put(None)

    def _read(self) -> None:
        """Give the replies to those who wait for them; show the job that this side is still there."""
        start, pinged, asked = 0, time.monotonic(), time.monotonic()
        while self._ended is None:
            if self._waiting:
                time.sleep(self._channel.poll_s)
            else:
                self._wake.wait(_IDLE_POLL_S)
                self._wake.clear()
            try:
                for read, reply in self._channel.replies(start):
                    start = read
                    if "note" in reply:
                        _LOG.warning("%s: %s", self._place, reply["note"])
                    elif (waiting := self._waiting.get(reply["id"])) is not None:
                        waiting.put((reply["id"], reply))
                now = time.monotonic()
                if now - pinged > _PING_S:
                    pinged = now
                    self._channel.ask({"ping": True})
            except OSError as error:
                self._end(f"the storage cannot be used: {error}")
                return
            except HostError as error:
                self._end(str(error))
                return
            with self._numbering:
                self.was_unused = not self._waiting and now - self._used > _UNUSED_S
                if self.was_unused:
                    self._ended = "nobody asked it"
            if self.was_unused:
                self.close()
                return
            if now - asked > _STATUS_S:
                asked = now
                status = job_status(self._name, self._handle)
                if status.state == "ended":
                    self._end(status.message)
