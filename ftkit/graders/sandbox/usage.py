"""What the processes of a sandbox use together, read from /proc by the process that started it.

Resource limits hold for each process and each file; a sandbox may have many of both. So memory and disk are added up
twenty times a second, and a sandbox over its limit ends the code.
"""

from __future__ import annotations

import contextlib
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

__all__ = ["UsageWatch", "family"]

_INTERVAL_S = 0.05
_MAX_FILES = 65_536
"""Most files in the folder of a sandbox: empty ones take memory of the kernel."""
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
_BLOCK_BYTES = 512


class UsageWatch:
    """Watches a sandbox in a thread, as a context manager.

    Args:
        process: process id of the sandbox's first process.
        folder: its folder; None if it has a file system of limited size.
        memory_bytes: most memory of all its processes.
        disk_bytes: most disk space of the folder, with files that are open but deleted.
        alarm: a pipe; when a limit is exceeded, ``memory`` or ``disk`` is written to it as one line.
    """

    def __init__(self, process: int, folder: Path | None, memory_bytes: int, disk_bytes: int, alarm: int) -> None:
        self._process, self._folder, self._alarm = process, folder, alarm
        self._memory_bytes, self._disk_bytes = memory_bytes, disk_bytes
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ftkit-sandbox-usage", daemon=True)

    def __enter__(self) -> UsageWatch:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        reported = ""
        while not self._ended.wait(_INTERVAL_S):
            over = self._over()
            if over and over != reported:
                with contextlib.suppress(OSError):
                    os.write(self._alarm, f"{over}\n".encode())
            reported = over

    def _over(self) -> str:
        processes = [*family(self._process)]
        if _resident(processes) > self._memory_bytes and _proportional(processes) > self._memory_bytes:
            return "memory"
        if self._folder is not None and _disk(self._folder, processes) > self._disk_bytes:
            return "disk"
        return ""


def family(process: int) -> Iterator[int]:
    """Find the descendants of a process.

    Args:
        process: its id.

    Yields:
        The id of the process, and those of its descendants.
    """
    pending = [process]
    while pending:
        one = pending.pop()
        yield one
        with contextlib.suppress(OSError):
            for thread in os.listdir(f"/proc/{one}/task"):
                with open(f"/proc/{one}/task/{thread}/children", encoding="ascii") as file:
                    pending += map(int, file.read().split())


def _resident(processes: list[int]) -> int:
    """Add up the memory of processes; pages that they share count once for each."""
    total = 0
    for process in processes:
        with contextlib.suppress(OSError, IndexError), open(f"/proc/{process}/statm", encoding="ascii") as file:
            total += int(file.read().split()[1]) * _PAGE_BYTES
    return total


def _proportional(processes: list[int]) -> int:
    """Add up the memory of processes; pages that they share count once, where the kernel says so."""
    total = 0
    for process in processes:
        try:
            with open(f"/proc/{process}/smaps_rollup", encoding="ascii") as file:
                total += sum(int(line.split()[1]) * 1024 for line in file if line.startswith("Pss:"))
        except OSError:
            total += _resident([process])
    return total


def _disk(folder: Path, processes: list[int]) -> int:
    """Add up the blocks of a folder's files, and of deleted files that are still open."""
    total = count = 0
    pending = [str(folder)]
    while pending:
        with contextlib.suppress(OSError), os.scandir(pending.pop()) as entries:
            for entry in entries:
                count += 1
                with contextlib.suppress(OSError):
                    total += entry.stat(follow_symlinks=False).st_blocks * _BLOCK_BYTES
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
    if count > _MAX_FILES:
        return 1 << 62
    return total + sum({found.st_ino: found.st_blocks for found in _deleted(processes)}.values()) * _BLOCK_BYTES


def _deleted(processes: list[int]) -> Iterator[os.stat_result]:
    for process in processes:
        with contextlib.suppress(OSError):
            for name in os.listdir(f"/proc/{process}/fd"):
                with contextlib.suppress(OSError):
                    found = os.stat(f"/proc/{process}/fd/{name}")
                    if stat.S_ISREG(found.st_mode) and not found.st_nlink:
                        yield found
