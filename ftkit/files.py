"""Write files and folders so that nobody ever sees half of one, whenever a crash or a full disk comes."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from ftkit.errors import ConfigError

__all__ = [
    "atomic_writer",
    "canonical_digest",
    "create_folder",
    "disk_is_full",
    "folder_aside",
    "free_bytes",
    "home",
    "remove_folder",
    "remove_unfinished",
    "replace_folder",
    "says_disk_full",
    "sync_folder",
    "write_atomically",
]

_UNFINISHED = (".unfinished", ".part")
"""Endings of the names of folders and files that are being written."""
_FULL_BELOW = 256 * 1024
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
"""Flag of Linux's renameat2(2): swap two names in one step."""


@contextlib.contextmanager
def atomic_writer(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """Open a temporary file beside ``path``; on success, sync it to disk and rename it to ``path``.

    If the block raises, ``path`` stays as it was and the unfinished file is removed. If the process is killed,
    :func:`remove_unfinished` removes it.

    Args:
        path: the file to write.

    Yields:
        The temporary file, open for writing bytes.
    """
    target = Path(path)
    create_folder(target.parent)
    handle, aside = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            _lock(file.fileno())
            yield file
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes private files; give the result the rights an ordinary new file would have.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(aside, 0o666 & ~mask)
        os.replace(aside, target)
        _sync_entries(target.parent)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(aside)
        raise


def write_atomically(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Write a file through :func:`atomic_writer`.

    Args:
        path: the file to write.
        content: bytes, or text, which is written as UTF-8.
    """
    with atomic_writer(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def create_folder(folder: Path) -> None:
    """Create a folder and its missing parents, and flush their entries to disk.

    Args:
        folder: the folder, which may exist.
    """
    created = []
    for place in (folder, *folder.parents):
        if place.exists():
            break
        created.append(place)
    folder.mkdir(parents=True, exist_ok=True)
    for place in created:
        _sync_entries(place.parent)


@contextlib.contextmanager
def folder_aside(target: Path) -> Iterator[Path]:
    """Create an empty folder beside ``target``, which is filled and then passed to :func:`replace_folder`.

    It is removed on exit if it is still there. Folders that earlier processes left when they were killed are removed.

    Args:
        target: where the folder goes in the end.

    Yields:
        The folder.
    """
    create_folder(target.parent)
    for left in list(target.parent.iterdir()):
        if left.name.startswith(f".{target.name}.") and left.name.endswith(_UNFINISHED[0]):
            _remove_if_abandoned(left)
    aside, handle = _locked_folder(target)
    try:
        yield aside
    finally:
        shutil.rmtree(aside, ignore_errors=True)
        if handle is not None:
            os.close(handle)


def remove_folder(folder: Path) -> None:
    """Remove a folder to whose files other processes may be appending.

    It is renamed first, so that nothing is made in it by name while it is emptied.

    Args:
        folder: the folder, which may be missing.
    """
    aside = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}{_UNFINISHED[0]}")
    try:
        os.rename(folder, aside)
    except FileNotFoundError:
        return
    except OSError:
        aside = folder
    shutil.rmtree(aside, ignore_errors=True)


def remove_unfinished(folder: Path) -> None:
    """Remove files and folders that processes left unfinished in a folder when they were killed.

    Those that another process is writing stay. Systems without POSIX locks keep everything.

    Args:
        folder: the folder, which need not exist.
    """
    for ending in _UNFINISHED:
        for left in folder.glob(f".*{ending}"):
            _remove_if_abandoned(left)


def disk_is_full(folder: Path) -> bool:
    """Say whether a file system has no room left.

    Args:
        folder: a folder on it.

    Returns:
        True if less than 256 KiB are free; False also if the system does not say.
    """
    free = free_bytes(folder)
    return free is not None and free < _FULL_BELOW


def free_bytes(folder: Path) -> int | None:
    """Return the room that is left on a file system.

    Args:
        folder: a folder on it.

    Returns:
        Bytes; None if the system does not say.
    """
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def says_disk_full(error: BaseException) -> bool:
    """Say whether an error of the system means that a disk is full or a quota used up.

    Args:
        error: any error.

    Returns:
        Whether it does.
    """
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def sync_folder(folder: Path) -> None:
    """Flush every file below ``folder``, and the folder itself, to disk.

    Args:
        folder: the folder to flush.
    """
    for place, _, names in os.walk(folder):
        for path in (*(os.path.join(place, name) for name in names), place):
            _sync(path)


def replace_folder(source: Path, target: Path) -> None:
    """Rename a complete folder to ``target``, replacing the folder that may be there.

    ``source`` is flushed to disk first. On Linux the two folders are swapped in one step, so that ``target`` is always
    whole. Elsewhere the old folder is renamed aside first, and renamed back if the second rename fails. The old folder
    is deleted last.

    Args:
        source: the new folder, on the same file system as ``target``. It is not there afterwards.
        target: where it goes.

    Raises:
        OSError: the folder cannot be renamed; ``target`` is as it was.
    """
    sync_folder(source)
    if not os.path.lexists(target):
        os.rename(source, target)
    elif _exchange(source, target):
        _sync_entries(target.parent)
        shutil.rmtree(source, ignore_errors=True)
    else:
        old = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.", suffix=".unfinished")) / target.name
        os.rename(target, old)
        try:
            os.rename(source, target)
        except BaseException:
            os.rename(old, target)
            old.parent.rmdir()
            raise
        _sync_entries(target.parent)
        shutil.rmtree(old.parent, ignore_errors=True)
    _sync_entries(target.parent)


def _exchange(first: Path, second: Path) -> bool:
    """Swap two names in one step; return False where the system or the file system cannot."""
    if not sys.platform.startswith("linux"):
        return False
    import ctypes  # most processes exchange no folders, and start faster without it

    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    if renameat2(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        return False
    raise OSError(code, os.strerror(code), str(second))


def _sync(path: str | Path) -> None:
    """Flush one file or folder to disk, where the system can flush folders."""
    if os.name != "posix" and os.path.isdir(path):
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync_entries(folder: Path) -> None:
    """Flush the entries of a folder to disk, where the system can and the folder may be read."""
    try:
        _sync(folder)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise


def _locked_folder(target: Path) -> tuple[Path, int | None]:
    """Create a folder beside ``target`` and lock it, so that nobody takes it for one that was left behind."""
    while True:
        aside = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.", suffix=_UNFINISHED[0]))
        try:
            handle = os.open(aside, os.O_RDONLY)
        except OSError:  # removed in this moment; or, on Windows, folders cannot be opened
            if aside.exists():
                return aside, None
            continue
        _lock(handle)
        if aside.exists():
            return aside, handle
        os.close(handle)


def _lock(handle: int, *, wait: bool = True) -> bool:
    """Lock an open file or folder until it is closed; return False if that is not possible."""
    try:
        import fcntl
    except ImportError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True


def _remove_if_abandoned(path: Path) -> None:
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError:
        return
    try:
        if _lock(handle, wait=False):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    except OSError:
        pass
    finally:
        os.close(handle)


def canonical_digest(data: bytes | str) -> str:
    """Compute a digest in the form of every fingerprint in ftkit.

    Args:
        data: bytes, or text, which is read as UTF-8.

    Returns:
        ``"sha256:<64 hex digits>"``.
    """
    return "sha256:" + hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()


def home() -> Path:
    """Return ftkit's home folder: ``$FTKIT_HOME``, or the platform's data folder if that is not set.

    A missing folder is created so that only its owner can read it, because it holds private rows and answers.

    Returns:
        The folder. It does not exist if it cannot be created; then there is nothing to read in it, and whoever writes
        into it gets the error.

    Raises:
        ConfigError: the path is not a folder.
    """
    chosen = os.environ.get("FTKIT_HOME")
    if chosen:
        folder = Path(chosen).expanduser().absolute()
    else:
        import platformdirs

        folder = Path(platformdirs.user_data_dir("ftkit", appauthor=False))
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise ConfigError(
            f"ftkit's home {folder} is not a folder: a file is in its place. Move that away, or set FTKIT_HOME to "
            "another folder"
        ) from None
    except OSError:  # on a read-only or full disk
        pass
    return folder
