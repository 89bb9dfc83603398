"""How much time has passed since a request, for processes that may be others and clocks that may be set."""

from __future__ import annotations

import time
from pathlib import Path

__all__ = ["Boot", "boot_time", "elapsed_s"]

Boot = tuple[str, float]
"""The id of the machine's start, and the seconds since then, which nobody can set."""

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def boot_time() -> Boot | None:
    """Return the time since the machine was started, suspension included.

    Returns:
        The id of the start, and seconds; None where the system does not tell the former (it is Linux that does).
    """
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip(), time.clock_gettime(time.CLOCK_BOOTTIME)
    except (OSError, ValueError, AttributeError):
        return None


def elapsed_s(then: float, then_boot: Boot | None, now: float, now_boot: Boot | None) -> float:
    """Return how many seconds have surely passed between two moments.

    The wall clock is only asked where nothing else is known, because it may have been set in between.

    Args:
        then: the earlier moment in Unix seconds.
        then_boot: the same since the machine's start; None if that is not known.
        now: the later moment in Unix seconds.
        now_boot: the same since the machine's start.

    Returns:
        Seconds, 0 or more.
    """
    wall_s = max(0.0, now - then)
    if then_boot is None or now_boot is None:
        return wall_s
    if then_boot[0] == now_boot[0]:
        return max(0.0, now_boot[1] - then_boot[1])
    return min(wall_s, now_boot[1])  # it was before this start, or on another machine
