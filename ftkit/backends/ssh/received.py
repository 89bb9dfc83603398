"""Files that the other side has sent, kept by their content, and the rows in them."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path
from typing import Any, Protocol

from ftkit.backends.protocol import TrainingJob
from ftkit.data import Dataset
from ftkit.errors import RunError
from ftkit.files import create_folder, home
from ftkit.recipe import parse_recipe

__all__ = ["Tell", "receive", "received_job"]


class Tell(Protocol):
    """Sends a part of a call's result before its end."""

    def __call__(self, item: Any) -> None:
        """Send a part.

        Args:
            item: plain JSON values.
        """
        ...


def _received(digest: str) -> Path:
    """Where a file with this SHA-256 is kept."""
    return home() / "received" / digest


def receive(digest: str, size: int, tell: Tell) -> dict[str, Any]:
    """Say how much of a file is there, and keep it when it is whole.

    Args:
        digest: the SHA-256 of the file, 64 hex digits.
        size: its size in bytes.
        tell: not used.

    Returns:
        ``whole``, and else the ``path`` to which it is sent and the bytes that are there, ``part``.
    """
    kept = _received(digest)
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


def _dataset(spec: dict[str, Any] | None) -> Dataset | None:
    """Open rows whose files were received. Each file gets its own name's ending, which says how it is read."""
    if spec is None:
        return None
    sources = []
    for source in spec["sources"]:
        kept = _received(source["sha256"])
        named = kept.with_name(kept.name + source["ending"])
        if not named.exists():
            with contextlib.suppress(FileExistsError):
                os.link(kept, named)
        sources.append({**source, "path": str(named)})
    rows = spec["rows"]
    if "file" in rows:
        rows = {**rows, "file": str(_received(rows["sha256"]))}
    return Dataset.from_spec({**spec, "sources": sources, "rows": rows})


def received_job(job: dict[str, Any], run_id: str) -> TrainingJob:
    """Open a job whose files were received.

    Args:
        job: the recipe, and descriptions of the rows.
        run_id: id of the run.

    Returns:
        The job.

    Raises:
        RunError: it has no rows.
    """
    data = _dataset(job["data"])
    if data is None:
        raise RunError(f"run {run_id} has no rows")
    return TrainingJob(run_id, parse_recipe(job["recipe"]), data, _dataset(job["validation"]))
