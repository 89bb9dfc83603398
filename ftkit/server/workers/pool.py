"""A pool of worker processes.

A schema, a grader or a large body can take any time and memory to read, and Python's lock is held meanwhile. In a
process of its own the work leaves the event loop free, and it can be ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any, ParamSpec, TypeVar

from ftkit.errors import BusyError, FtkitError

__all__ = ["WorkerLimitError", "WorkerPool"]

P = ParamSpec("P")
T = TypeVar("T")

_DEFAULT_SECONDS = 10.0
_QUEUE_S = 30.0
"""Seconds that work waits for a free worker."""
_RETRY_AFTER_S = 5.0
_START_S = 60.0
_PRELOADED = (
    *("ftkit.server.client_schema", "ftkit.server.chat.request", "ftkit.server.graders.grader_schema"),
    *("jsonschema", "llguidance"),
)
"""Modules that a worker loads when it starts, so that loading them is no part of the time of its first work."""
_PATIENCE = 4.0
"""On a busy machine, work takes longer than its processor time."""


class WorkerLimitError(FtkitError):
    """The work took more time or memory than it may."""


class WorkerPool:
    """Worker processes, started when they are first needed and reused.

    Args:
        processes: most processes at the same time.
        memory_bytes: most memory of each process.
    """

    def __init__(self, processes: int, memory_bytes: int) -> None:
        self._memory_bytes = memory_bytes
        self._free = threading.Semaphore(processes)
        self._idle: list[_Worker] = []
        self._busy: set[_Worker] = set()
        self._lock, self._closed = threading.Lock(), False
        self._threads = ThreadPoolExecutor(processes, thread_name_prefix="ftkit-worker-pool")

    async def call(self, function: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        """Run a function in a worker, from an event loop. See :meth:`run`.

        Args:
            function: a function of a module.
            *arguments: its arguments.
            **options: its keyword arguments.

        Returns:
            Its result.

        Raises:
            WorkerLimitError: it took too long or too much memory.
            BusyError: all workers are busy.
        """
        work = functools.partial(self.run, function, *arguments, **options)
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def run(self, function: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        """Run a function in a worker for at most ten seconds of processor time. Its exceptions are raised here.

        Args:
            function: a function of a module.
            *arguments: its arguments.
            **options: its keyword arguments.

        Returns:
            Its result.

        Raises:
            WorkerLimitError: it took too long or too much memory.
            BusyError: all workers are busy.
        """
        return self.run_for(_DEFAULT_SECONDS, functools.partial(function, *arguments, **options))

    def run_for(self, seconds: float, work: Callable[[], T]) -> T:
        """Run work that may take longer.

        Args:
            seconds: of processor time, after which the worker is ended; it is also ended after four times as long.
            work: a function that can be pickled.

        Returns:
            Its result.

        Raises:
            WorkerLimitError: it took too long or too much memory.
            BusyError: all workers are busy.
            InterruptedError: the pool was closed.
        """
        if not self._free.acquire(timeout=_QUEUE_S):
            raise BusyError("the server is reading other requests", _RETRY_AFTER_S)
        try:
            ok, found = self._ask(work, seconds)
        finally:
            self._free.release()
        if ok:
            return found  # type: ignore[no-any-return]
        if isinstance(found, MemoryError):
            raise WorkerLimitError("it takes more memory than the server gives to one request")
        raise found

    def end_idle(self) -> None:
        """End the workers that have nothing to do, because they keep memory."""
        with self._lock:
            idle, self._idle = self._idle, []
        for worker in idle:
            worker.end()

    def close(self) -> None:
        """End all workers. Work in progress fails with ``InterruptedError``."""
        with self._lock:
            self._closed = True
            busy = [*self._busy]
        for worker in busy:
            worker.kill()
        self.end_idle()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _ask(self, work: Callable[[], Any], seconds: float) -> tuple[bool, Any]:
        worker = self._take()
        try:
            answer = worker.ask(work, seconds)
        except BaseException:
            with self._lock:
                self._busy.discard(worker)
            worker.end()
            if self._closed:
                raise InterruptedError("the server is stopping") from None
            raise
        with self._lock:
            self._busy.discard(worker)
            if not self._closed:
                self._idle.append(worker)
                return answer
        worker.end()
        return answer

    def _take(self) -> _Worker:
        with self._lock:
            while self._idle:
                worker = self._idle.pop()
                if worker.alive:
                    self._busy.add(worker)
                    return worker
                worker.end()
        worker = _Worker(self._memory_bytes)
        with self._lock:
            self._busy.add(worker)
        return worker


class _Worker:
    """One process. It reads pickled work and answers ``(True, result)`` or ``(False, exception)``."""

    def __init__(self, memory_bytes: int) -> None:
        self._timed_out = False
        self._process = subprocess.Popen(
            [sys.executable, "-m", "ftkit.server.workers.process", str(memory_bytes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # a Ctrl-C in the server's terminal is not for it
        )
        self.ask(functools.partial(_preload, _PRELOADED), _START_S)

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def ask(self, work: Callable[[], Any], seconds: float) -> tuple[bool, Any]:
        """Run work in it, and kill it if that takes longer."""
        sent, received = self._pipes()
        timer = threading.Timer(seconds * _PATIENCE, self._time_out)
        timer.start()
        try:
            sent.write(pickle.dumps((seconds, work), pickle.HIGHEST_PROTOCOL))
            sent.flush()
            answer: tuple[bool, Any] = pickle.load(received)  # noqa: S301 - of our own process
        except (EOFError, OSError, pickle.UnpicklingError):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(1.0)
            cpu_time = self._process.returncode == -getattr(signal, "SIGPROF", 0) != 0
            why = "time" if self._timed_out or cpu_time else "memory"
            raise WorkerLimitError(f"it takes more {why} than the server gives to one request") from None
        finally:
            timer.cancel()
        return answer

    def _time_out(self) -> None:
        self._timed_out = True
        self._process.kill()

    def kill(self) -> None:
        """Kill it, while another thread waits for its answer."""
        self._process.kill()

    def end(self) -> None:
        """Kill it, and forget it."""
        self._process.kill()
        for pipe in self._pipes():
            with contextlib.suppress(OSError):
                pipe.close()
        self._process.wait()

    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        sent, received = self._process.stdin, self._process.stdout
        assert sent is not None  # noqa: S101
        assert received is not None  # noqa: S101
        return sent, received


def _preload(modules: tuple[str, ...]) -> None:
    for name in modules:
        importlib.import_module(name)
