"""What a Ray backend puts on the shared storage beside the runs: rows and code."""

from __future__ import annotations

import hashlib
import io
import os
import secrets
import shutil
import tarfile
from pathlib import Path

from ftkit.backends.remote.source_code import this_code
from ftkit.errors import RunError
from ftkit.files import create_folder, folder_aside, replace_folder

__all__ = ["keep_file", "unpack_code"]


def keep_file(file: Path, kept: Path) -> None:
    """Copy a file to the storage, whole or not at all.

    Args:
        file: the file.
        kept: where it goes; its name is the SHA-256 of the file.

    Raises:
        RunError: the file has changed meanwhile.
    """
    if kept.is_file():
        return
    create_folder(kept.parent)
    part = kept.with_name(f".{kept.name}.{secrets.token_hex(4)}.part")
    try:
        shutil.copyfile(file, part)
        with part.open("rb") as content:
            if hashlib.file_digest(content, "sha256").hexdigest() != kept.name:
                raise RunError(f"{file} has changed while it was copied; start again")
        os.replace(part, kept)
    finally:
        part.unlink(missing_ok=True)


def unpack_code(storage: str) -> str:
    """Put this ftkit's code on the storage.

    Args:
        storage: the shared folder.

    Returns:
        The folder of the code.
    """
    code = this_code()
    target = Path(storage) / "code" / code.digest
    if not target.is_dir():
        with folder_aside(target) as aside, tarfile.open(fileobj=io.BytesIO(code.archive)) as archive:
            archive.extractall(aside, filter="data")
            replace_folder(aside, target)
            os.chmod(target, 0o755)  # noqa: S103  (the workers may be other users)
    return str(target)
