"""Where the answers of a search are kept until its result is there."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ftkit.data import Dataset
from ftkit.errors import RunError, StorageError
from ftkit.evaluation.prompt_search.spending import PricedModel
from ftkit.files import canonical_digest, home, says_disk_full
from ftkit.results.json_values import canonical
from ftkit.store.run_lock import RunLock
from ftkit.task import Task

__all__ = ["AnswerPlace", "answer_place"]


@dataclass
class AnswerPlace:
    """A folder of kept answers.

    Attributes:
        path: the folder.
        kept: whether it stays when the search has ended.
    """

    path: Path
    kept: bool


@contextlib.contextmanager
def answer_place(
    given: str | os.PathLike[str] | None,
    asked: PricedModel,
    reflecting: PricedModel,
    task: Task,
    train: Dataset,
    seed: int,
) -> Iterator[AnswerPlace]:
    """Open the folder of the kept answers and lock it. One that nobody named is deleted when the search has ended.

    Args:
        given: the folder that the user named; None for one in ftkit's home.
        asked: the model that answers.
        reflecting: the model that writes instructions.
        task: the task.
        train: the rows.
        seed: seed of the search.

    Yields:
        The folder.

    Raises:
        StorageError: it cannot be written.
        RunError: another process uses it.
    """
    if given is None:
        names = [asked.model.name, reflecting.model.name, task.fingerprint, train.fingerprint, seed]
        path = home() / "prompts" / canonical_digest(canonical(names)).removeprefix("sha256:")[:32]
    else:
        path = Path(given)
    try:
        lock = RunLock.acquire(path, "search.lock")
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror or error}", full=says_disk_full(error)) from None
    if lock is None:
        raise RunError(f"another process searches for a prompt in {path}; wait until it ends, or name another folder")
    try:
        place = AnswerPlace(path, kept=given is not None)
        yield place
        if not place.kept:
            shutil.rmtree(path, ignore_errors=True)
    finally:
        lock.close()
