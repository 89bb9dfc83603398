"""Writing files so that a crash, a full disk or a reader at the wrong moment never sees half of one."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

__all__ = ["atomic_writer", "canonical_digest", "home", "write_atomically"]


@contextlib.contextmanager
def atomic_writer(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """Open a file beside ``path`` for writing; on success it is synced to disk and takes the place of ``path``.

    When the block raises, ``path`` is left as it was and the unfinished file is removed.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, aside = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes private files; give the result the rights an ordinary new file would have.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(aside, 0o666 & ~mask)
        os.replace(aside, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(aside)
        raise


def write_atomically(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Write ``content`` (text as UTF-8) to ``path`` through :func:`atomic_writer`."""
    with atomic_writer(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def canonical_digest(data: bytes | str) -> str:
    """``"sha256:<64 hex digits>"`` of ``data`` (text as UTF-8): the form of every fingerprint in ftkit."""
    return "sha256:" + hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()


def home() -> Path:
    """The folder where ftkit keeps what it must find again: ``$FTKIT_HOME``, else the platform's data folder.

    It is made when missing, readable by its owner only: rows and answers of private data lie in it.
    """
    chosen = os.environ.get("FTKIT_HOME")
    if chosen:
        folder = Path(chosen).expanduser().absolute()
    else:
        import platformdirs

        folder = Path(platformdirs.user_data_dir("ftkit", appauthor=False))
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder
