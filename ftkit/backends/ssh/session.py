"""Calls to the program on the other machine, over one SSH connection that is opened again when it was cut."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from functools import lru_cache
from queue import Empty, SimpleQueue
from typing import Any

from ftkit.backends.remote.messages import MAX_LINE_BYTES, error_from_wire
from ftkit.backends.ssh.connection import connection_error, end, read_tail, start
from ftkit.backends.ssh.environment import GREETING, NEEDS, make_environment, program_script, send_code
from ftkit.backends.ssh.remote_machine import RemoteMachine
from ftkit.errors import ConfigError, HostError

__all__ = ["PATIENCE_S", "Session", "keep_trying", "session_with"]

_LOG = logging.getLogger("ftkit.ssh")
PATIENCE_S = 90.0
"""How long a call that somebody waits for is tried while the connection is down."""
_FIRST_PATIENCE_S = 5.0
"""The same for a machine that this process has not reached yet: its name may be wrong."""
_GREETING_S = 120.0
_PING_S = 20.0
_MAX_NOISE_LINES = 1000
_PAUSES_S = (0.2, 0.5, 1.0, 2.0, 5.0)

OnItem = Callable[[Any], None]


def keep_trying(action: Callable[[], Any], patience_s: float) -> Any:
    """Do something over the connection again after it was cut.

    Args:
        action: what to do; doing it twice must do no harm.
        patience_s: how long to go on trying after the first failure.

    Returns:
        The result of ``action``.

    Raises:
        HostError: the connection stayed down, or trying again cannot help.
    """
    tries, deadline = 0, None
    while True:
        try:
            return action()
        except HostError as error:
            deadline = deadline or time.monotonic() + patience_s
            pause = _PAUSES_S[min(tries, len(_PAUSES_S) - 1)]
            if not error.passing or time.monotonic() + pause > deadline:
                raise
            tries += 1
            if tries == 2:
                _LOG.warning("%s; trying again for %.0f s", error, deadline - time.monotonic())
            time.sleep(pause)


class Session:
    """Calls to the program on one machine. Threads may share it.

    Args:
        machine: the machine.
    """

    backend, chunk = "ssh", 512

    def __init__(self, machine: RemoteMachine) -> None:
        self.machine = machine
        self._connecting = threading.Lock()
        self._connection: _Connection | None = None
        self._reached = False

    @property
    def place(self) -> str:
        """The machine, as errors and reports name it."""
        return self.machine.destination

    def call(
        self,
        name: str,
        *,
        on_item: OnItem | None = None,
        patience_s: float = PATIENCE_S,
        timeout_s: float | None = None,
        **arguments: Any,
    ) -> Any:
        """Call the program there. After the connection was cut, the call is made again.

        Args:
            name: name of the call.
            on_item: receives parts of the result before its end; after a cut perhaps again.
            patience_s: how long to go on trying while the connection is down.
            timeout_s: how long the call may take before the connection counts as dead. None: no limit.
            **arguments: its arguments, plain JSON values.

        Returns:
            Its result.

        Raises:
            HostError: the connection stayed down.
            FtkitError: what the call raised there.
        """
        patience_s = patience_s if self._reached else min(patience_s, _FIRST_PATIENCE_S)
        return keep_trying(lambda: self._connected().call(name, arguments, on_item, timeout_s), patience_s)

    def close(self) -> None:
        """End the session. The next call opens another one."""
        with self._connecting:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _connected(self) -> _Connection:
        with self._connecting:
            found = self._connection
            if found is None or not found.usable:
                if found is not None:
                    found.close()
                self._connection = found = self._connect()
            return found

    def _connect(self) -> _Connection:
        made: set[str] = set()
        while True:
            connection = _Connection(self.machine)
            missing = connection.missing
            if missing is None:
                self._reached = True
                return connection
            connection.close()
            if missing in made:
                raise HostError(f"{self.machine.destination}: ftkit's {missing} was sent there and is not found")
            made.add(missing)
            if missing == "code":
                send_code(self.machine)
            elif missing == "environment":
                make_environment(self.machine)
            else:
                raise ConfigError(
                    f"{self.machine.destination} has no interpreter {self.machine.python!r}; correct python="
                )


@lru_cache(maxsize=32)
def session_with(machine: RemoteMachine) -> Session:
    """Return the session with a machine that everything in this process shares.

    Args:
        machine: the machine.

    Returns:
        The session.
    """
    return Session(machine)


class _Connection:
    """One run of the program there.

    Attributes:
        missing: what must be sent there before the program can run; None if it runs.
    """

    def __init__(self, machine: RemoteMachine) -> None:
        self._machine, self._owner = machine, os.getpid()
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  (open as long as the connection)
        self._process = start(machine.ssh_command(program_script(machine)), self._said)
        self._writing, self._lost = threading.Lock(), threading.Event()
        self._waiting: dict[int, SimpleQueue[dict[str, Any] | None]] = {}
        self._numbers = 0
        watchdog = threading.Timer(_GREETING_S, self._process.kill)
        watchdog.daemon = True
        watchdog.start()
        try:
            self.missing = self._greeted()
        except BaseException:
            self.close()
            raise
        finally:
            watchdog.cancel()
        if self.missing is None:
            for target in (self._read, self._ping):
                threading.Thread(target=target, name=f"ftkit-ssh-{machine.destination}", daemon=True).start()

    @property
    def usable(self) -> bool:
        """Whether calls can be made: the connection is not cut, and this process itself opened it."""
        return not self._lost.is_set() and self._owner == os.getpid()

    def call(self, name: str, arguments: dict[str, Any], on_item: OnItem | None, timeout_s: float | None) -> Any:
        """Make one call; see :meth:`Session.call`."""
        replies: SimpleQueue[dict[str, Any] | None] = SimpleQueue()
        with self._writing:
            self._numbers += 1
            number = self._numbers
            self._waiting[number] = replies
        try:
            self._write({"id": number, "call": name, "arguments": arguments})
            while True:
                reply = None if self._lost.is_set() and replies.empty() else replies.get(timeout=timeout_s)
                if reply is None:
                    raise self._error()
                if "item" not in reply:
                    break
                if on_item is not None:
                    on_item(reply["item"])
        except Empty:
            self.close()
            message = f"the connection to {self._machine.destination} is down: no answer within {timeout_s:.0f} s"
            raise HostError(message, passing=True, unsure=True) from None
        finally:
            self._waiting.pop(number, None)
        if "error" in reply:
            raise error_from_wire(reply["error"], self._machine.destination, "ssh")
        return reply.get("result")

    def close(self) -> None:
        """Close the connection. The program there ends by itself."""
        self._lost.set()
        if self._owner == os.getpid():
            end(self._process)
            for pipe in (self._process.stdin, self._process.stdout):
                with contextlib.suppress(OSError):
                    if pipe is not None:
                        pipe.close()

    def _greeted(self) -> str | None:
        assert self._process.stdout is not None  # noqa: S101  (start() made the pipe)
        for _ in range(_MAX_NOISE_LINES):
            line = self._process.stdout.readline(MAX_LINE_BYTES).decode("utf-8", "replace")
            if line.startswith(NEEDS):
                return line.removeprefix(NEEDS).strip()
            if line.startswith(GREETING):
                return None
            if not line:
                raise self._error()
        raise HostError(f"{self._machine.destination}: its shell prints without an end before ftkit starts")

    def _read(self) -> None:
        assert self._process.stdout is not None  # noqa: S101  (start() made the pipe)
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # cut, closed, or not what ftkit writes
            while (line := self._process.stdout.readline(MAX_LINE_BYTES + 1)).endswith(b"\n"):
                reply = json.loads(line)
                waiting = self._waiting.get(reply["id"])
                if waiting is not None:
                    waiting.put(reply)
        self._lost.set()
        with self._writing:
            waiting_now = [*self._waiting.values()]
        for each in waiting_now:
            each.put(None)

    def _ping(self) -> None:
        """Show the program there that this side still is there."""
        while not self._lost.wait(_PING_S):
            with contextlib.suppress(HostError):
                self._write({"id": 0, "call": "ping"})

    def _write(self, asked: dict[str, Any]) -> None:
        line = json.dumps(asked).encode() + b"\n"
        if len(line) > MAX_LINE_BYTES:
            raise ConfigError(f"a call of {len(line):,} bytes is too long; ask with fewer rows at once")
        try:
            with self._writing:
                assert self._process.stdin is not None  # noqa: S101  (start() made the pipe)
                self._process.stdin.write(line)
                self._process.stdin.flush()
        except (OSError, ValueError):
            self._lost.set()
            raise self._error() from None

    def _error(self) -> HostError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        return connection_error(self._machine, self._process.poll(), read_tail(self._said))
