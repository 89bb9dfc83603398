"""One command over SSH, and what its failure means."""

from __future__ import annotations

import subprocess
import tempfile
from typing import IO

from ftkit.backends.ssh.remote_machine import RemoteMachine
from ftkit.errors import ConfigError, HostError

__all__ = ["CUT", "connection_error", "end", "read_tail", "run_there", "start"]

_STDERR_BYTES = 4096
_STDOUT_BYTES = 1 << 20
CUT = 255
"""Status with which ssh and sftp end when the connection fails, not the command."""
_LASTING = (
    (
        "host key",
        "the host key is not the known one, or not known yet; nothing was sent. Connect once by hand (ssh {machine}) "
        "and compare its fingerprint",
    ),
    (
        "host identification has changed",
        "the host key is not the known one; nothing was sent. Find out why before you connect again",
    ),
    (
        "permission denied",
        "no key opens it without a question; `ssh -o BatchMode=yes {machine} true` must work: load the key "
        "into an agent (ssh-add)",
    ),
    (
        "too many authentication failures",
        "the agent offers too many keys; name one with IdentityFile and IdentitiesOnly",
    ),
    ("bad configuration option", "OpenSSH's client does not understand its configuration"),
    ("bad owner or permissions", "OpenSSH's client does not take its configuration"),
    ("can't open user config file", "OpenSSH's client cannot read its configuration"),
)
"""What OpenSSH's client says when trying again does not help, in small letters, and what to do."""


def start(
    command: list[str],
    stderr: IO[bytes],
    *,
    stdin: IO[bytes] | int = subprocess.PIPE,
    stdout: IO[bytes] | int = subprocess.PIPE,
) -> subprocess.Popen[bytes]:
    """Start OpenSSH's client.

    Args:
        command: its arguments.
        stderr: a file for what it says.
        stdin: its standard input.
        stdout: its standard output.

    Returns:
        The process, in a session of its own: a Ctrl-C in the terminal does not cut the connection.

    Raises:
        ConfigError: there is no such program.
    """
    try:
        return subprocess.Popen(command, stdin=stdin, stdout=stdout, stderr=stderr, start_new_session=True)
    except FileNotFoundError:
        raise ConfigError(
            f"there is no program {command[0]!r}, which the backend ssh needs; install OpenSSH's client"
        ) from None


def run_there(machine: RemoteMachine, script: str, *, stdin: IO[bytes] | None = None, timeout_s: float = 120.0) -> str:
    """Run a script of the shell on a machine.

    Args:
        machine: the machine.
        script: the script.
        stdin: its standard input; empty by default.
        timeout_s: how long it may take.

    Returns:
        The first megabyte of its standard output.

    Raises:
        HostError: the connection failed (``passing`` says whether a later try may help), or the script did.
    """
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as output:
        process = start(machine.ssh_command(script), said, stdin=stdin or subprocess.DEVNULL, stdout=output)
        try:
            status = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            message = f"{machine.destination}: no answer within {timeout_s:.0f} s"
            raise HostError(message, passing=True, unsure=True) from None
        finally:
            end(process)
        if status:
            failure = connection_error(machine, status, read_tail(said) or read_tail(output))
            raise failure
        output.seek(0)
        return output.read(_STDOUT_BYTES).decode("utf-8", "replace")


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process that this one started, if it still runs, and take its status.

    Args:
        process: the process.
    """
    if process.poll() is None:
        process.kill()
    process.wait()


def read_tail(file: IO[bytes]) -> str:
    """Read the end of what a program has said.

    Args:
        file: a file that the program wrote to.

    Returns:
        The last kilobytes in one line.
    """
    size = file.seek(0, 2)
    file.seek(max(0, size - _STDERR_BYTES))
    return " | ".join(line.strip() for line in file.read().decode("utf-8", "replace").splitlines() if line.strip())


def connection_error(machine: RemoteMachine, status: int | None, said: str) -> HostError:
    """Return the error for a command over SSH that failed.

    Args:
        machine: the machine.
        status: its exit status; None if it was killed.
        said: what it said on standard error.

    Returns:
        The error. It is ``passing`` where the connection failed and nothing says that it will again.
    """
    low = said.lower()
    for sign, advice in _LASTING:
        if status == CUT and sign in low:
            return HostError(
                f"ssh {machine.destination}: {advice.format(machine=machine.destination)}. ssh says: {said}"
            )
    if status in (CUT, None) or (status is not None and status < 0):
        return HostError(
            f"the connection to {machine.destination} is down: {said or 'it was cut'}", passing=True, unsure=True
        )
    return HostError(f"{machine.destination}: a command there failed (status {status}): {said or 'it said nothing'}")
