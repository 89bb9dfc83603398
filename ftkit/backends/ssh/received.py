"""Files that the other side has sent, kept by their content."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from ftkit.backends.protocol import TrainingJob
from ftkit.backends.remote.job_description import open_job
from ftkit.backends.remote.messages import Tell
from ftkit.files import create_folder, home

__all__ = ["receive", "received_job"]


def _received_folder() -> Path:
    """Where files are kept, each named by its SHA-256."""
    return home() / "received"


def receive(digest: str, size: int, tell: Tell) -> dict[str, Any]:
    """Say how much of a file is there, and keep it when it is whole.

    Args:
        digest: the SHA-256 of the file, 64 hex digits.
        size: its size in bytes.
        tell: not used.

    Returns:
        ``whole``, and else the ``path`` to which it is sent and the bytes that are there, ``part``.
    """
    kept = _received_folder() / digest
    if kept.is_file():
        os.utime(kept)
        return {"whole": True, "part": size, "path": str(kept)}
    create_folder(kept.parent)
    part = kept.with_name(f"{digest}.part")
    there = part.stat().st_size if part.is_file() else 0
    if there >= size:
        with part.open("ab") if not part.exists() else part.open("rb") as file:
            matches = there == size and hashlib.file_digest(file, "sha256").hexdigest() == digest
        if matches:
            os.replace(part, kept)
            return {"whole": True, "part": size, "path": str(kept)}
        part.unlink()
        there = 0
    return {"whole": False, "part": there, "path": str(part)}


def received_job(job: dict[str, Any], run_id: str) -> TrainingJob:
    """Open a job whose files were received.

    Args:
        job: the recipe, and descriptions of the rows.
        run_id: id of the run.

    Returns:
        The job.
    """
    return open_job(job, run_id, _received_folder())
