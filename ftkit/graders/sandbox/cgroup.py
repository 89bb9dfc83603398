"""A control group that limits the memory of a sandbox as a whole, where this process may make one.

Root may, and on systems with systemd every user in a session. The kernel then ends a process of the sandbox as soon as
all of them together exceed the limit; elsewhere :mod:`ftkit.graders.sandbox.usage` alone counts. Source: cgroups(7).
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

__all__ = ["MemoryGroup"]

_ROOT = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")
_LIMITS = ("memory.max", "memory.limit_in_bytes")
"""The file with the limit, of version 2 and of version 1."""
_REMOVE_S = 1.0


class MemoryGroup:
    """A control group with a limit on its memory; see :meth:`create`. Usable as a context manager.

    Args:
        folder: the folder that stands for it; None does nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    @classmethod
    def create(cls, memory_bytes: int) -> MemoryGroup:
        """Make a control group.

        Args:
            memory_bytes: most memory of all its processes, with their files in memory.

        Returns:
            The group; one without a folder where this process may not make one.
        """
        for parent in _parents():
            folder = parent / f"ftkit-{secrets.token_hex(8)}"
            try:
                folder.mkdir()
            except OSError:
                continue
            group = cls(folder)
            for name in _LIMITS:
                with contextlib.suppress(OSError):
                    if (folder / name).exists():  # not where the group has no memory controller
                        (folder / name).write_text(str(memory_bytes))
                        with contextlib.suppress(OSError):
                            (folder / "memory.swap.max").write_text("0")
                        return group
            group.remove()
        return cls(None)

    def add(self, processes: Iterable[int]) -> None:
        """Move processes into the group. Their later children are in it, too.

        Args:
            processes: ids of processes.
        """
        if self.folder is None:
            return
        for process in processes:
            with contextlib.suppress(OSError):
                (self.folder / "cgroup.procs").write_text(str(process))

    def remove(self) -> None:
        """End the processes that are left in the group, and remove it."""
        deadline = time.monotonic() + _REMOVE_S
        while self.folder is not None:
            self._end_members()
            try:
                self.folder.rmdir()
            except FileNotFoundError:
                return
            except OSError:
                if time.monotonic() > deadline:
                    return
                time.sleep(0.01)
            else:
                return

    def _end_members(self) -> None:
        """Kill what has left the sandbox's own family. Where the kernel cannot do so in one step, one by one."""
        if self.folder is None:
            return
        with contextlib.suppress(OSError):
            (self.folder / "cgroup.kill").write_text("1")
        with contextlib.suppress(OSError, ValueError):
            for process in (self.folder / "cgroup.procs").read_text(encoding="ascii").split():
                os.kill(int(process), signal.SIGKILL)

    def __enter__(self) -> MemoryGroup:
        return self

    def __exit__(self, *error: object) -> None:
        self.remove()


def _parents() -> Iterator[Path]:
    """Yield the folders in which a group may be made: this process's own groups, and those around them."""
    try:
        lines = _OWN.read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        mounted = _ROOT if not controllers else _ROOT / "memory" if "memory" in controllers.split(",") else None
        if mounted is None:
            continue
        own = mounted / path.lstrip("/")
        for folder in dict.fromkeys((own, own.parent if own != mounted else own)):
            if os.access(folder, os.W_OK) and any((folder / name).exists() for name in (*_LIMITS, "cgroup.procs")):
                yield folder
