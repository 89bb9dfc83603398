"""The other workers of a run that several train together, each a process.

Started as ``python -m … RUN_ID RANK SIZE MEETING STRATEGY``.

The run's worker is the first of them and starts the others. Each gets a GPU of its own, or its part of the CPU's
threads. A worker that dies ends the run; the others end with the first one.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ftkit.backends.grading import setting_of
from ftkit.backends.local.event_log import tolerate_full_disk
from ftkit.backends.local.saved_job import saved_job
from ftkit.errors import FtkitError, TrainingError
from ftkit.store import Store
from ftkit.training.progress import TrainingStopped

if TYPE_CHECKING:
    from ftkit.training.worker_group import WorkerGroup

__all__ = ["fellow_workers"]

_WATCH_S = 0.5
_GRACE_S = 30.0
"""How long the first worker may take to notice by itself that another one has died."""


@contextlib.contextmanager
def fellow_workers(run_id: str, size: int, folder: Path, strategy: str = "ddp") -> Iterator[WorkerGroup]:
    """Start the other workers of a run, and end them with it.

    Args:
        run_id: id of the run.
        size: how many workers train together, this one included.
        folder: the run's folder.
        strategy: how they hold the model.

    Yields:
        The group, with this process as the first worker.

    Raises:
        TrainingError: another worker has died.
        FtkitError: what this one raised.
        TrainingStopped: this one was asked to stop.
    """
    from ftkit.training.worker_group import ALONE, WorkerGroup

    if size == 1:
        yield ALONE
        return
    meeting = folder / f"meeting-{secrets.token_hex(8)}"
    command = [sys.executable, "-m", "ftkit.backends.local.fellow_workers", run_id]
    others = [
        subprocess.Popen([*command, str(rank), str(size), str(meeting), strategy], stdin=subprocess.DEVNULL)
        for rank in range(1, size)
    ]
    ended = threading.Event()
    threading.Thread(target=_watch, args=(others, ended), daemon=True).start()
    try:
        yield WorkerGroup.meet(0, size, meeting, strategy)
    except (FtkitError, TrainingStopped):
        raise
    except Exception as error:
        died = _died(others)
        if died is None:
            raise
        raise TrainingError(f"{died}, so the run cannot go on; the log has its last words") from error
    finally:
        ended.set()
        for other in others:
            with contextlib.suppress(subprocess.TimeoutExpired):
                other.wait(_GRACE_S if sys.exc_info()[0] is None else 1.0)
            other.kill()
            other.wait()
        meeting.unlink(missing_ok=True)


def _died(others: list[subprocess.Popen[bytes]]) -> str | None:
    """The worker that has died and its exit status, as the first words of an error; None if all live."""
    deadline = time.monotonic() + 2.0
    while time.monotonic() < deadline:  # a connection breaks a moment before its process has ended
        for rank, other in enumerate(others, start=1):
            if other.poll():
                return f"worker {rank + 1} of {len(others) + 1} has died (status {other.returncode})"
        time.sleep(0.05)
    return None


def _watch(others: list[subprocess.Popen[bytes]], ended: threading.Event) -> None:
    """End this process if another worker has died and this one waits for it without an end."""
    while not ended.wait(_WATCH_S):
        if any(other.poll() for other in others):
            if not ended.wait(_GRACE_S):
                print(f"{_died(others)}, so this one ends, too", file=sys.stderr, flush=True)  # noqa: T201
                os._exit(1)
            return


def _leave_with(parent: int) -> None:
    """End this process when the first worker, which started it, has ended."""
    while os.getppid() == parent:
        time.sleep(_WATCH_S)
    os._exit(1)


def main(run_id: str, rank: int, size: int, meeting: Path, strategy: str) -> int:
    """Train as one of the other workers.

    Args:
        run_id: id of the run.
        rank: number of this worker, from 1.
        size: how many workers train together.
        meeting: the file in which they find each other.
        strategy: how they hold the model.

    Returns:
        The exit status: 0 unless training failed.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the first worker says when all stop, after a checkpoint
    threading.Thread(target=_leave_with, args=(os.getppid(),), daemon=True).start()
    from ftkit.training.job import train
    from ftkit.training.worker_group import WorkerGroup

    workers = WorkerGroup.meet(rank, size, meeting, strategy)
    job = saved_job(run_id, Store())
    try:
        train(job, lambda kind, data: None, setting=setting_of(job.recipe, checked=True), workers=workers)
    except TrainingStopped:
        pass
    except FtkitError as error:
        print(f"worker {rank + 1} of {size}: {error}", file=sys.stderr, flush=True)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    tolerate_full_disk()
    sys.exit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]), sys.argv[5]))
