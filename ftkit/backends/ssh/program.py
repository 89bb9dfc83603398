"""ftkit on the other machine: ``python -m ftkit.backends.ssh.program``, which an SSH session starts.

It reads calls from standard input and writes what comes of them to standard output, one JSON object a line, and ends
when the connection ends. Runs are trained by workers of their own, which go on.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import IO, Any

from ftkit.backends.remote.messages import MAX_LINE_BYTES, error_to_wire
from ftkit.backends.ssh.calls import CALLS
from ftkit.backends.ssh.environment import GREETING
from ftkit.errors import ConfigError
from ftkit.files import home
from ftkit.version import __version__

__all__ = ["main"]

_SILENCE_S = 180.0
"""Without a word for so long, the other side is gone: it says something every few seconds."""
_FINISH_S = 90.0
"""How long calls that change a run may still take after the connection was cut."""


class _Server:
    """Answers calls, each in a thread of its own.

    Args:
        output: where answers are written.
    """

    def __init__(self, output: IO[bytes]) -> None:
        self._output, self._writing = output, threading.Lock()
        self._heard = time.monotonic()
        self._changing: set[threading.Thread] = set()

    def run(self, lines: IO[bytes]) -> None:
        """Answer calls until the connection ends.

        Args:
            lines: the calls.
        """
        threading.Thread(target=self._watch, daemon=True).start()
        while line := lines.readline(MAX_LINE_BYTES + 1):
            self._heard = time.monotonic()
            if not line.endswith(b"\n"):
                break
            asked = json.loads(line)
            if asked["call"] == "ping":
                self._write({"id": asked["id"], "result": None})
                continue
            thread = threading.Thread(target=self._answer, args=(asked,), daemon=True)
            if asked["call"] in ("submit", "resume", "cancel"):
                self._changing = {each for each in self._changing if each.is_alive()} | {thread}
            thread.start()
        self.finish()

    def finish(self) -> None:
        """Wait for calls that change a run."""
        deadline = time.monotonic() + _FINISH_S
        for thread in self._changing:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _watch(self) -> None:
        while time.monotonic() - self._heard < _SILENCE_S:
            time.sleep(_SILENCE_S / 10)
        self.finish()
        os._exit(0)

    def _answer(self, asked: dict[str, Any]) -> None:
        number = asked["id"]
        try:
            call: Callable[..., Any] | None = CALLS.get(asked["call"])
            if call is None:
                raise ConfigError(f"ftkit there knows no call {asked['call']!r}")
            result = call(**asked["arguments"], tell=lambda item: self._write({"id": number, "item": item}))
            self._write({"id": number, "result": result})
        except Exception as error:  # whatever happens there is said here
            traceback.print_exc()
            self._write({"id": number, "error": error_to_wire(error)})

    def _write(self, said: dict[str, Any]) -> None:
        line = json.dumps(said).encode() + b"\n"
        with self._writing:
            try:
                self._output.write(line)
                self._output.flush()
            except (OSError, ValueError):  # the connection was cut; reading ends, too
                pass


def main() -> None:
    """Serve one session."""
    # What libraries print goes to a file, not between the answers.
    output = os.fdopen(os.dup(1), "wb")
    log = os.open(home() / "session.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    greeting = {"version": __version__, "python": sys.version.split()[0], "pid": os.getpid()}
    output.write(f"{GREETING}{json.dumps(greeting)}\n".encode())
    output.flush()
    _Server(output).run(sys.stdin.buffer)
    os._exit(0)  # threads that answer nobody any more


if __name__ == "__main__":
    main()
