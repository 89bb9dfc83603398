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
from typing import Any

from ftkit.backends.ray.object_store import is_address
from ftkit.backends.remote.source_code import this_code
from ftkit.errors import RunError
from ftkit.files import create_folder, folder_aside, home, replace_folder

__all__ = ["job_command", "job_environment", "keep_file"]


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
    """Return the shell command of a job that runs a module of ftkit.

    Args:
        module: its full name.
        *arguments: its arguments.

    Returns:
        The command.
    """
    return shlex.join(["python", "-P", "-m", module, *arguments])


def job_environment(storage: str) -> dict[str, Any]:
    """Send this ftkit's code, and return the environment in which jobs run it.

    Args:
        storage: the shared folder, on which the code is put; or the address of an object store, beside which Ray itself
            sends the code to the nodes.

    Returns:
        Ray's ``runtime_env``.
    """
    variables = {"PYTHONSAFEPATH": "1", "TOKENIZERS_PARALLELISM": "false"}
    if is_address(storage):
        return {"env_vars": variables, "working_dir": _unpack_code(home() / "ray")}
    return {"env_vars": {"PYTHONPATH": _unpack_code(Path(storage)), **variables}}


def _unpack_code(place: Path) -> str:
    """Put this ftkit's code into a folder, and return its own folder there."""
    code = this_code()
    target = place / "code" / code.digest
    if not target.is_dir():
        with folder_aside(target) as aside, tarfile.open(fileobj=io.BytesIO(code.archive)) as archive:
            archive.extractall(aside, filter="data")
            replace_folder(aside, target)
            os.chmod(target, 0o755)  # noqa: S103  (the workers may be other users)
    return str(target)
