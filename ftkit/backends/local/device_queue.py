"""The queue of this machine's runs: how many train at once on a device, in the order in which they were started."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path

from ftkit.counts import counted
from ftkit.errors import ConfigError
from ftkit.store import Store
from ftkit.store.run_lock import STARTING, WORKER, RunLock, is_locked

__all__ = ["default_max_parallel", "device_name", "wait_for_device"]

_VARIABLE = "FTKIT_MAX_PARALLEL"
_POLL_S = 0.3


def default_max_parallel() -> int:
    """Return how many local runs train at once on a device unless the backend says otherwise.

    Returns:
        The environment variable ``FTKIT_MAX_PARALLEL``; 1 if it is not set.

    Raises:
        ConfigError: the variable does not hold a positive whole number.
    """
    text = os.environ.get(_VARIABLE, "").strip()
    if not text:
        return 1
    if not (text.isascii() and text.isdigit() and 0 < len(text) < 5 and int(text) > 0):
        raise ConfigError(f"the environment variable {_VARIABLE} must hold a whole number above 0, not {text!r}")
    return int(text)


def device_name() -> str:
    """Name the device that runs of this process use: the first visible CUDA device, or the machine's own.

    Returns:
        A name that can be part of a file's name.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").partition(",")[0].strip()
    return re.sub(r"[^\w.-]", "_", visible)[:64] or "first"


def wait_for_device(
    store: Store, run_id: str, max_parallel: int, *, stopped: Callable[[], bool], on_wait: Callable[[str], None]
) -> RunLock | None:
    """Wait until the run may train. Runs that were started earlier come first.

    The place is a lock, which the operating system frees however its holder ends.

    Args:
        store: where the runs are recorded.
        run_id: the run, which is queued.
        max_parallel: how many runs may train at once on the device.
        stopped: says whether this process was asked to end.
        on_wait: called once, with a sentence, if the run has to wait.

    Returns:
        The place, to be held while the run trains. None if the run was cancelled or the process was asked to end.
    """
    device, announced = device_name(), False
    folder = store.folder / "devices"
    while not stopped() and store.get(run_id).state == "queued":
        ahead = _runs_ahead(store, run_id)
        lock = None if ahead else _free_place(folder, device, max_parallel)
        if lock is not None:
            return lock
        if not announced:
            announced = True
            runs = "1 run" if max_parallel == 1 else f"{counted(max_parallel, 'run')}"
            behind = f"; queued before it: {', '.join(ahead)}" if ahead else ""
            on_wait(f"waiting for its turn: {runs} at once on a device ({_VARIABLE}){behind}")
        time.sleep(_POLL_S)
    return None


def _free_place(folder: Path, device: str, max_parallel: int) -> RunLock | None:
    """Take one of the device's places; None if all are taken."""
    for place in range(max_parallel):
        try:
            lock = RunLock.acquire(folder, f"{device}.{place}.lock")
        except OSError:  # a full or read-only disk, which the worker names when it begins
            return RunLock(None)
        if lock is not None:
            return lock
    return None


def _runs_ahead(store: Store, run_id: str) -> list[str]:
    """Queued local runs that were started earlier and whose worker waits, or is about to."""
    own = store.get(run_id)
    return [
        other.id
        for other in store.in_state("queued")
        if other.backend == own.backend
        and (other.created_at, other.id) < (own.created_at, own.id)
        and any(is_locked(store.run_folder(other.id), name) for name in (WORKER, STARTING))
    ]
