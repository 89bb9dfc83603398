"""The tiers of isolation that this machine offers, and how a process is started in one."""

from __future__ import annotations

import os
import shutil
import site
import sys
import sysconfig
from pathlib import Path
from typing import Literal

__all__ = ["Tier", "command", "readable_paths", "sandbox_uid", "unavailable_reason"]

Tier = Literal["namespaces", "landlock", "limits"]
"""``namespaces``: a root file system of its own, no network, no other processes. ``landlock``: the same system, without
access to files, network and signals. ``limits``: resource limits only."""

_NAMESPACES = ("--mount", "--net", "--pid", "--ipc", "--uts", "--fork", "--kill-child")
_FIRST_UID, _UIDS = 61_184, 4_336
"""User ids that systemd reserves for dynamic users, which own no files (https://systemd.io/UIDS-GIDS)."""


def command(tier: Tier) -> list[str]:
    """Return the command that starts the first process of a sandbox.

    Args:
        tier: the tier.

    Returns:
        The command, to which the program and its arguments are appended.
    """
    python = [sys.executable, "-I", "-X", "utf8"]
    if tier != "namespaces":
        return python
    # Root creates namespaces and changes its user inside; other users need a user namespace of their own.
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return [shutil.which("unshare") or "unshare", *user, *_NAMESPACES, *python]


def sandbox_uid(number: int) -> int | None:
    """Choose the user id of a sandbox.

    Args:
        number: number of the sandbox; each has a user id of its own.

    Returns:
        The user id if this process is root; None if the sandbox keeps the current user.
    """
    return _FIRST_UID + (os.getpid() * 16 + number) % _UIDS if os.geteuid() == 0 else None


def readable_paths() -> list[str]:
    """List the paths that a Python program must be able to read.

    Returns:
        Folders of the interpreter and its packages, shared libraries and time zones.
    """
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


def unavailable_reason(tier: Tier) -> str | None:
    """Say why this machine does not offer a tier, as far as that is known without trying.

    Args:
        tier: the tier.

    Returns:
        The reason, or None.
    """
    if not sys.platform.startswith("linux"):
        return f"it needs Linux, and this system is {sys.platform}"
    if tier == "namespaces":
        return None if shutil.which("unshare") else "the program unshare (of util-linux) is not installed"
    if os.geteuid() == 0 and not _readable_by_all(readable_paths()):
        return "root has no limit on processes, and no other user can read this Python's folders"
    return None


def _readable_by_all(paths: list[str]) -> bool:
    every = {folder for path in paths for folder in (Path(path), *Path(path).parents)}
    return all(folder.stat().st_mode & 0o001 for folder in every if folder.is_dir())
