"""Which walls there are on this machine, and how a process is put behind them."""

from __future__ import annotations

import os
import shutil
import site
import sys
import sysconfig
from pathlib import Path
from typing import Literal

__all__ = ["Walls", "command", "readable_paths", "refusal", "user_to_become"]

Walls = Literal["namespaces", "landlock", "limits"]
"""``namespaces``: another root, no network, no other processes. ``landlock``: the same system, of which a process may
touch nothing. ``limits``: nothing but limits on what it uses up."""

_NAMESPACES = ("--mount", "--net", "--pid", "--ipc", "--uts", "--fork", "--kill-child")
_FIRST_UID, _UIDS = 61_184, 4_336
"""Users that systemd gives to services for as long as they run; no file is theirs (systemd.io/UIDS-GIDS)."""


def command(walls: Walls) -> list[str]:
    """What starts the sandbox's first process; its arguments stand after it."""
    python = [sys.executable, "-I", "-X", "utf8"]
    if walls != "namespaces":
        return python
    # Root makes namespaces itself and becomes another user inside; others get them in a user namespace of their own.
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return [shutil.which("unshare") or "unshare", *user, *_NAMESPACES, *python]


def user_to_become(number: int) -> int | None:
    """The user for a process that root starts, another for each ``number``; None: it stays who it is."""
    return _FIRST_UID + (os.getpid() * 16 + number) % _UIDS if os.geteuid() == 0 else None


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


def refusal(walls: Walls) -> str | None:
    """Why this machine cannot have them, as far as that shows without trying; None when it may."""
    if not sys.platform.startswith("linux"):
        return f"they are Linux's, and this is {sys.platform}"
    if walls == "namespaces":
        return None if shutil.which("unshare") else "the program unshare (of util-linux) is not installed"
    if os.geteuid() == 0 and not _open_to_all(readable_paths()):
        return "root has no limit on processes, and no other user can read this Python's folders"
    return None


def _open_to_all(paths: list[str]) -> bool:
    every = {folder for path in paths for folder in (Path(path), *Path(path).parents)}
    return all(folder.stat().st_mode & 0o001 for folder in every if folder.is_dir())
