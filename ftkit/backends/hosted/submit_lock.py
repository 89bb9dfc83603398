"""One at a time: the lock of a run that is being submitted, let go by the system when its holder dies."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from ftkit.backends.hosted.job_state import end
from ftkit.store import RunRecord, Store

__all__ = ["fail_if_abandoned", "submitting"]

_BEGIN_S = 10.0
"""How long a run may be in the store before its submission has begun."""


@contextlib.contextmanager
def submitting(folder: Path) -> Iterator[bool]:
    """Hold the run in ``folder``; yields whether it could be had."""
    from filelock import FileLock, Timeout  # takes 0.1 s to import

    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "submitting.lock", thread_local=False)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def fail_if_abandoned(record: RunRecord, store: Store) -> None:
    """End a run that was never sent, having no key, when nobody is at it any more."""
    if time.time() - record.created_at < _BEGIN_S:
        return
    with submitting(store.run_folder(record.id)) as mine:
        if mine and "key" not in store.get(record.id).handle:
            reason = "it was cut off before anything was sent, so nothing was charged; start it again with ft.train"
            end(record.id, store, "failed", reason)
