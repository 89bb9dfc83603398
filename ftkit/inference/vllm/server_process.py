"""Start a server as a process of its own, wait until it answers, and take it down."""

from __future__ import annotations

import atexit
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ftkit.inference.engine_error import EngineError
from ftkit.printable import printable

__all__ = ["ServerProcess", "free_port"]

_SUPERVISOR = Path(__file__).with_name("supervisor.py")
_LINES = 200
_LINE_CHARACTERS = 2_000
_SHOWN_LINES = 15
_POLL_S = 0.2
_END_S = 20.0

_running: weakref.WeakSet[ServerProcess] = weakref.WeakSet()


@atexit.register
def _stop_at_exit() -> None:
    for process in list(_running):
        process.stop()


def free_port() -> int:
    """Find a port of the loopback interface that nobody listens on.

    Returns:
        The port. Another process may take it before it is used.
    """
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
    return port


class ServerProcess:
    """A running server. It ends with this process, however this one ends.

    Args:
        command: the program and its arguments.
        environment: its environment.
        name: what it is called in messages.
        secret: never shown in messages.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], *, name: str, secret: str) -> None:
        self.name, self._secret = name, secret
        self._owner = os.getpid()
        self._lines: deque[str] = deque(maxlen=_LINES)
        self._stop_lock = threading.Lock()
        # The supervisor ends the server when its standard input closes, which happens however this process ends.
        self._process = subprocess.Popen(
            [sys.executable, "-I", str(_SUPERVISOR), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, name=f"ftkit-{name}-log", daemon=True)
        self._reader.start()
        _running.add(self)

    @property
    def alive(self) -> bool:
        """Whether the server runs."""
        return self._process.poll() is None

    @property
    def last_lines(self) -> str:
        """The last lines that it has written."""
        shown = [printable(line) for line in [*self._lines][-_SHOWN_LINES:]]
        return "\n".join(shown).replace(self._secret, "***") if self._secret else "\n".join(shown)

    def wait_until(self, ready: Callable[[], bool], timeout_s: float) -> None:
        """Wait until the server answers; it is stopped if it does not.

        Args:
            ready: whether it answers.
            timeout_s: how long to wait, in seconds.

        Raises:
            EngineError: it has ended, or does not answer in time; with its last lines.
        """
        deadline = time.monotonic() + timeout_s
        try:
            while True:
                if not self.alive:
                    raise self.death()
                if ready():
                    return
                if time.monotonic() > deadline:
                    raise EngineError(
                        f"{self.name} did not answer within {timeout_s:g} s, and was stopped. Its last lines:\n"
                        f"{self.last_lines}",
                        "the server of the model did not start in time",
                    )
                time.sleep(_POLL_S)
        except BaseException:
            self.stop()
            raise

    def death(self) -> EngineError:
        """Explain that the server has ended.

        Returns:
            The error, with the exit status and the last lines.
        """
        self._reader.join(2.0)
        status = self._process.poll()
        message = f"{self.name} ended with status {status}. Its last lines:\n{self.last_lines}"
        return EngineError(message, "the server of the model has ended")

    def stop(self) -> None:
        """Take the server down, with all that it has started. A process that was forked from this one leaves it."""
        if os.getpid() != self._owner:
            return
        with self._stop_lock:
            if self._process.poll() is None:
                if self._process.stdin is not None:
                    self._process.stdin.close()
                self._process.send_signal(signal.SIGTERM)
                try:
                    self._process.wait(_END_S)
                except subprocess.TimeoutExpired:
                    self._process.kill()
                    self._process.wait()
            _running.discard(self)
        self._reader.join(2.0)

    def _read(self) -> None:
        stream = self._process.stdout
        if stream is None:
            return
        with stream:
            while line := stream.readline(_LINE_CHARACTERS):
                self._lines.append(line.decode("utf-8", "replace").rstrip())
