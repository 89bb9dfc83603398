"""Which walls there are on this machine, and how a process is put behind them."""

from __future__ import annotations

import os
import shutil
import site
import sys
import sysconfig
from pathlib import Path

from ftkit.graders.base import Isolation

__all__ = ["command", "readable_paths", "refusal", "user_to_become"]

_NAMESPACES = ("--mount", "--net", "--pid", "--ipc", "--uts", "--fork", "--kill-child")
_FIRST_UID, _UIDS = 61_184, 4_336
"""Users that systemd gives to services for as long as they run; no file is theirs (systemd.io/UIDS-GIDS)."""


def command(isolation: Isolation) -> list[str]:
    """What starts the sandbox's first process; its arguments stand after it."""
    python = [sys.executable, "-I", "-X", "utf8"]
    if isolation == "process":
        return python
    # Root makes namespaces itself and becomes another user inside; others get them in a user namespace of their own.
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return [shutil.which("unshare") or "unshare", *user, *_NAMESPACES, *python]


def user_to_become(isolation: Isolation, number: int) -> int | None:
    """The user for a process that root starts, another for each ``number``; None: it stays who it is."""
    if os.geteuid() != 0:
        return None
    if isolation == "process" and not _open_to_all(readable_paths()):
        return None
    return _FIRST_UID + (os.getpid() * 16 + number) % _UIDS


def readable_paths() -> list[str]:
    """What a Python program reads: the interpreter's own folders and packages, shared libraries, time zones."""
    named = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    stdlib = Path(named[0]).parent  # where libpython lies
    shared = ["/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache", "/usr/share/zoneinfo"]
    found: list[str] = []
    for path in sorted({str(stdlib), *named, *shared, *site.getsitepackages()}, key=len):
        real = Path(path)
        inside = any(real.is_relative_to(other) for other in found)
        if real.exists() and not real.is_symlink() and not inside:
            found.append(path)
    return found


def refusal(isolation: Isolation) -> str | None:
    """Why this machine cannot isolate so, as far as that shows without trying; None when it may."""
    if os.name != "posix":
        return "this system has no limits on processes that Python can set; run it under Linux"
    if isolation == "process":
        if os.geteuid() == 0 and not _open_to_all(readable_paths()):
            return (
                "for root there is no limit on processes, and no other user can read this Python's folders; run as "
                "another user"
            )
        return None
    if not sys.platform.startswith("linux"):
        return f"namespaces are Linux's, and this is {sys.platform}"
    if shutil.which("unshare") is None:
        return "the program unshare (of util-linux) is not installed"
    return None


def _open_to_all(paths: list[str]) -> bool:
    every = {folder for path in paths for folder in (Path(path), *Path(path).parents)}
    return all(folder.stat().st_mode & 0o001 for folder in every if folder.is_dir())
