"""What a Ray backend puts on the shared storage beside the runs, rows and code, and how jobs run that code."""

from __future__ import annotations

import hashlib
import io
import os
import secrets
import shlex
import shutil
import tarfile
from pathlib import Path

from ftkit.backends.remote.source_code import this_code
from ftkit.errors import RunError
from ftkit.files import create_folder, folder_aside, replace_folder

__all__ = ["job_command", "job_variables", "keep_file"]


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


def job_command(module: str, *arguments: str) -> str:
    """Return the shell command of a job that runs a module of this package.

    Args:
        module: its name.
        *arguments: its arguments.

    Returns:
        The command.
    """
    return shlex.join(["python", "-P", "-m", f"ftkit.backends.ray.{module}", *arguments])


def job_variables(storage: str) -> dict[str, str]:
    """Put this ftkit's code on the storage, and return the environment variables with which jobs run it.

    Args:
        storage: the shared folder.

    Returns:
        The variables.
    """
    return {"PYTHONPATH": _unpack_code(storage), "PYTHONSAFEPATH": "1", "TOKENIZERS_PARALLELISM": "false"}


def _unpack_code(storage: str) -> str:
    """Put this ftkit's code on the storage, and return its folder."""
    code = this_code()
    target = Path(storage) / "code" / code.digest
    if not target.is_dir():
        with folder_aside(target) as aside, tarfile.open(fileobj=io.BytesIO(code.archive)) as archive:
            archive.extractall(aside, filter="data")
            replace_folder(aside, target)
            os.chmod(target, 0o755)  # noqa: S103  (the workers may be other users)
    return str(target)
