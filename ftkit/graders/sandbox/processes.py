"""The running sandboxes of a call, which end together."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextvars import ContextVar

__all__ = ["SandboxProcesses", "end_sandbox", "stopped_on_error"]

_END_S = 6
"""Seconds that a sandbox may take to end its processes."""


class SandboxProcesses:
    """The sandboxes of one call. They can be stopped together, also those that are being started just then."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._processes: list[subprocess.Popen[bytes]] = []
        self.stopped = False

    def add(self, process: subprocess.Popen[bytes]) -> None:
        """Remember a process, or end it if the others were stopped while it started.

        Args:
            process: a sandbox.
        """
        with self._lock:
            self._processes.append(process)
            stopped = self.stopped
        if stopped:
            end_sandbox(process)

    def stop(self) -> None:
        """End all sandboxes. No further one grades anything."""
        with self._lock:
            self.stopped = True
            processes = list(self._processes)
        for process in processes:
            end_sandbox(process)


_current: ContextVar[SandboxProcesses | None] = ContextVar("sandbox_processes", default=None)


@contextlib.contextmanager
def stopped_on_error() -> Iterator[SandboxProcesses]:
    """Stop all sandboxes that the block starts if it ends with an error, such as Ctrl-C.

    A block within another one, also in a thread that runs in a copy of its context, starts its sandboxes with those of
    the outer one.

    Yields:
        The sandboxes.
    """
    outer = _current.get()
    processes = SandboxProcesses() if outer is None else outer
    token = _current.set(processes)
    try:
        yield processes
    except BaseException:  # nobody waits for untrusted code
        processes.stop()
        raise
    finally:
        _current.reset(token)


def end_sandbox(process: subprocess.Popen[bytes]) -> None:
    """End a sandbox. Its first process, or its namespace, ends all others; wait for that only briefly.

    Args:
        process: the sandbox.
    """
    if process.poll() is not None:
        return
    with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(_END_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
