"""Run a command and end it with the process that asked for it: ``python -I supervisor.py COMMAND…``.

The command runs in a session of its own. It is ended, with all processes of that session's group, when standard input
closes or the parent is another one, which both mean that the asking process has died or wants no more of it, and on
SIGTERM. This file imports nothing of ftkit: it runs alone.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from types import FrameType

_LOOK_S = 0.5
_GRACE_S = 10.0
"""How long the command may take to end by itself, in seconds."""
_PR_SET_PDEATHSIG = 1


def main(command: list[str]) -> int:
    """Run the command until it ends or is to be ended.

    Args:
        command: the program and its arguments.

    Returns:
        The exit status of the command; 128 and the number of the signal that ended it.
    """
    asked: list[int] = []

    def ask(number: int, frame: FrameType | None) -> None:
        asked.append(number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, ask)
    parent = os.getppid()
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=_end_with_parent)
    try:
        while child.poll() is None and not asked and os.getppid() == parent:
            ready, _, _ = select.select([sys.stdin], [], [], _LOOK_S)
            if ready and not os.read(sys.stdin.fileno(), 1024):
                break
    finally:
        _end(child)
    status = child.returncode
    return status if status >= 0 else 128 - status


def _end_with_parent() -> None:
    """Ask the kernel to end the command if this process is killed, and cannot do it any more."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        _signal_group(child.pid, signal.SIGTERM)
        deadline = time.monotonic() + _GRACE_S
        while child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
    _signal_group(child.pid, signal.SIGKILL)  # also what the command has started and left
    child.wait()


def _signal_group(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
