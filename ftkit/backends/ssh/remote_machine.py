"""The machine of an SSH backend: where it is, and what is used there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import parse_qsl, quote

from ftkit.arguments import check_kind
from ftkit.backends.remote.model_name import check_model_name, refuse_repeated
from ftkit.errors import ConfigError
from ftkit.training.strategies import check_strategy

__all__ = ["RemoteMachine", "quoted"]

_DESTINATION = re.compile(
    r"(?:(?P<user>[A-Za-z0-9_.+][^\s@:/?#]{0,63})@)?"
    r"(?P<host>\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9_][A-Za-z0-9_.-]{0,252})"
    r"(?::(?P<port>\d{1,5}))?"
)
_PASSWORD = re.compile(r":[^@\s#?/]{0,500}@")
_FORM = 'write it as "ssh:me@box#Qwen/Qwen3-8B", the machine before the # and the model there after it'
_MAX_WORKERS = 1024
_SSH_PORT, _LAST_PORT = 22, 65_535
_KINDS: dict[str, tuple[type, str]] = {
    "destination": (str, 'the machine as a text, like "me@box"'),
    "python": (str, "the path of an interpreter there as a text"),
    "folder": (str, "the path of ftkit's folder there as a text"),
    "config": (str, "the path of a file for OpenSSH's client"),
    "workers": (int, "how many processes train together, 1 or more"),
}
"""The types of the arguments, and what to pass instead of others."""
_OPTIONS = (
    "BatchMode=yes",  # nothing may ask: the connection is opened again by itself after it was cut
    "ConnectTimeout=20",
    "ServerAliveInterval=15",  # a connection that is dead without a sign is noticed within a minute
    "ServerAliveCountMax=3",
)
"""Options of ssh and sftp. None of them concerns host keys, which the user's configuration decides."""


@dataclass(frozen=True, slots=True)
class RemoteMachine:
    """A machine that OpenSSH's client reaches.

    Attributes:
        destination: ``"box"``, ``"me@box"`` or ``"me@box:2222"``: a name of the user's ``~/.ssh/config``, or a host.
        python: an interpreter there that has ftkit's dependencies. None: ftkit makes an environment of its own.
        folder: ftkit's folder there, below the home folder unless it is absolute.
        config: another file for OpenSSH's client than ``~/.ssh/config``.
        workers: how many processes train together there, each on a GPU of its own.
        strategy: how they hold the model, see :data:`~ftkit.training.strategies.STRATEGIES`.
    """

    destination: str
    python: str | None = None
    folder: str = ".ftkit"
    config: str | None = None
    workers: int = 1
    strategy: str = "ddp"

    def __post_init__(self) -> None:
        for name, (kind, wanted) in _KINDS.items():
            value = getattr(self, name)
            if value is not None or name not in ("python", "config"):
                check_kind(value, kind, "machine" if name == "destination" else name, wanted)
        found = _DESTINATION.fullmatch(self.destination)
        if found is None or not 0 < int(found["port"] or _SSH_PORT) <= _LAST_PORT:
            shown = _PASSWORD.sub(":…@", self.destination)
            raise ConfigError(f"{shown!r} is no machine for ssh: write a host as box, me@box or me@box:2222")
        if not 1 <= self.workers <= _MAX_WORKERS:
            raise ConfigError(f"ssh: workers={self.workers}: how many processes train together, 1 or more")
        check_strategy(self.strategy, "ssh")
        for name in ("python", "folder", "config"):
            value = getattr(self, name)
            if value is not None and (not value or value.startswith(("-", "~")) or not value.isprintable()):
                raise ConfigError(
                    f"ssh: {name}={value!r}: write a path; without a / at the beginning it is below the home folder"
                )

    @classmethod
    def split(cls, text: str) -> tuple[RemoteMachine, str]:
        """Read the part of a backend's name after ``ssh:``.

        Args:
            text: ``"me@box#model"``, perhaps with options before the ``#``: ``"me@box?python=/opt/env/bin/python#…"``.

        Returns:
            The machine, and the model's name there.

        Raises:
            ConfigError: the text is not of this form.
        """
        machine, hash_, model = text.partition("#")
        text = _PASSWORD.sub(":…@", text)  # for messages
        if not hash_ or not machine:
            raise ConfigError(f"backend 'ssh:{text}': {_FORM}")
        destination, _, query = machine.partition("?")
        options = parse_qsl(query, keep_blank_values=True)
        refuse_repeated(options, f"backend 'ssh:{text}'")
        known = [field.name for field in fields(cls)][1:]
        for name, _ in options:
            if name not in known:
                raise ConfigError(f"backend 'ssh:{text}': there is no option {name!r}; known are {', '.join(known)}")
        given: dict[str, Any] = dict(options)
        if "workers" in given:
            if re.fullmatch(r"[0-9]{1,4}", given["workers"]) is None:
                raise ConfigError(f"backend 'ssh:{text}': workers is a number")
            given["workers"] = int(given["workers"])
        return cls(destination, **given), check_model_name(model, f"backend 'ssh:{text}': {_FORM}")

    def __str__(self) -> str:
        """The machine as it stands before the ``#`` of a backend's name, with all that is not the default."""
        changed = [
            f"{field.name}={quote(str(getattr(self, field.name)), safe='/')}"
            for field in fields(self)[1:]
            if getattr(self, field.name) != field.default
        ]
        return self.destination + ("?" + "&".join(changed) if changed else "")

    def ssh_command(self, script: str) -> list[str]:
        """Return the command that runs a script of the shell there.

        Args:
            script: a script for ``sh``.

        Returns:
            The arguments of OpenSSH's client. Nothing is forwarded, and a command of the user's configuration is left
            out.
        """
        options = [*_OPTIONS, "RemoteCommand=none", "ClearAllForwardings=yes"]
        return [
            "ssh",
            "-T",
            "-a",
            "-x",
            *self._arguments("-p", options),
            self._host(bare=True),
            f"sh -c {quoted(script)}",
        ]

    def sftp_command(self) -> list[str]:
        """Return the command that reads commands of sftp from standard input.

        Returns:
            The arguments of OpenSSH's sftp.
        """
        return ["sftp", "-q", "-b", "-", *self._arguments("-P", _OPTIONS), self._host(bare=False)]

    def _arguments(self, port_flag: str, options: Sequence[str]) -> list[str]:
        port = _DESTINATION.fullmatch(self.destination)["port"]  # type: ignore[index]
        return [
            *([] if self.config is None else ["-F", self.config]),
            *([] if port is None else [port_flag, port]),
            *(part for option in options for part in ("-o", option)),
            "--",
        ]

    def _host(self, *, bare: bool) -> str:
        found = _DESTINATION.fullmatch(self.destination)
        user, host = found["user"], found["host"]  # type: ignore[index]
        host = host.strip("[]") if bare else host
        return host if user is None else f"{user}@{host}"


def quoted(text: str) -> str:
    """Quote a text for the shell there.

    Args:
        text: any text.

    Returns:
        One word of the shell.
    """
    return shlex.quote(text)
