"""One at a time: the lock of a run that is being submitted, let go by the system when its holder dies."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

__all__ = ["submitting"]


@contextlib.contextmanager
def submitting(folder: Path) -> Iterator[bool]:
    """Hold the run in ``folder``; yields whether it could be had."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "submitting.lock").open("a+b") as file:
        try:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:  # Windows
            import msvcrt

            try:
                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
            except OSError:
                yield False
                return
        except OSError:
            yield False
            return
        yield True
