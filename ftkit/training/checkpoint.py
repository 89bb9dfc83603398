"""Checkpoints of a run. A checkpoint is either complete or ignored.

A checkpoint is a folder ``step-000120`` with ``trainable.safetensors`` (the trained tensors), ``state.pt`` (optimiser,
random states, counters) and ``COMPLETE``, which lists the other files with their sizes and digests. Everything is
written to a temporary folder and synced to disk, ``COMPLETE`` last; then the folder is renamed. After a crash, a full
disk or a kill at any moment the earlier checkpoints are still there, and an incomplete one is skipped.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save, save_file

from ftkit.files import create_folder, disk_is_full, says_disk_full, write_atomically

__all__ = ["NOT_WRITTEN", "Checkpoint", "Checkpoints", "why_not_written"]

_COMPLETE, _TENSORS, _STATE = "COMPLETE", "trainable.safetensors", "state.pt"
_REFERENCE, _REHEARSAL = "reference.safetensors", "rehearsal.safetensors"
_TEACHER = "teacher.safetensors"

NOT_WRITTEN = (OSError, RuntimeError, SafetensorError)
"""What the writing libraries raise when the disk is full."""


def why_not_written(error: Exception, folder: Path) -> str:
    """Say why something could not be written; a full disk is named as such, which not every library does.

    Args:
        error: what the writing library raised.
        folder: a folder on the same disk.

    Returns:
        The end of a sentence.
    """
    full = says_disk_full(error) or os.strerror(errno.ENOSPC) in str(error)
    return f"the disk is full ({error})" if full or disk_is_full(folder) else str(error)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A complete checkpoint on disk."""

    folder: Path
    step: int

    def tensors(self) -> dict[str, torch.Tensor]:
        """Load the trained tensors.

        Returns:
            Tensors by name.
        """
        tensors: dict[str, torch.Tensor] = load_file(self.folder / _TENSORS)
        return tensors

    def state(self) -> dict[str, Any]:
        """Load everything else.

        Returns:
            What was given to :meth:`Checkpoints.save`.
        """
        state: dict[str, Any] = torch.load(self.folder / _STATE, map_location="cpu", weights_only=True)
        return state


class Checkpoints:
    """The checkpoints of one run.

    Args:
        folder: where they are; created when the first one is written.
        job: digest of what is trained on what. Checkpoints of another job are skipped.
        limit: how many of the newest are kept.
        writes: whether this process writes. Of several workers only the first does.
    """

    def __init__(self, folder: Path, job: str, limit: int, *, writes: bool = True) -> None:
        self.writes = writes
        self.folder = folder
        self.job = job
        self.limit = limit

    def save(self, step: int, tensors: dict[str, torch.Tensor], state: dict[str, Any]) -> None:
        """Write a checkpoint, then remove the oldest ones.

        Args:
            step: optimiser steps done.
            tensors: the trained tensors.
            state: everything else: plain data and tensors.

        Raises:
            OSError: it could not be written, as for RuntimeError and SafetensorError; earlier ones are still there.
        """
        self._write("step", step, tensors, state)
        for old in self._folders("step")[: -self.limit]:
            shutil.rmtree(old, ignore_errors=True)

    def save_best(self, step: int, tensors: dict[str, torch.Tensor]) -> None:
        """Write the tensors of the best step so far, then remove the earlier best ones.

        Args:
            step: optimiser steps done.
            tensors: the trained tensors.

        Raises:
            OSError: as for :meth:`save`.
        """
        written = self._write("best", step, tensors, {})
        for old in self._folders("best"):
            if old != written:
                shutil.rmtree(old, ignore_errors=True)

    def newest(self) -> tuple[Checkpoint | None, list[str]]:
        """Find the newest complete checkpoint of this job.

        Returns:
            The checkpoint, if any, and why newer ones were skipped.
        """
        skipped: list[str] = []
        for folder in reversed(self._folders("step")):
            problem = self._problem(folder)
            if problem is None:
                return Checkpoint(folder, _step(folder)), skipped
            skipped.append(f"{folder.name}: {problem}")
        return None, skipped

    def best(self, step: int) -> Checkpoint | None:
        """Find the best checkpoint.

        Args:
            step: the step it must have.

        Returns:
            The checkpoint if it is complete, else None.
        """
        folder = _folder(self.folder, "best", step)
        return Checkpoint(folder, step) if folder.is_dir() and self._problem(folder) is None else None

    def save_reference(self, values: torch.Tensor) -> None:
        """Save the reference's log-probabilities.

        Args:
            values: float32 ``[N]``.

        Raises:
            OSError: as for :meth:`save`.
        """
        self._write_beside(_REFERENCE, {"values": values})

    def reference(self) -> torch.Tensor | None:
        """Load the reference's log-probabilities.

        Returns:
            What :meth:`save_reference` saved for this job, if anything.
        """
        found = self._read_beside(_REFERENCE, "values")
        return None if found is None else found[0]

    def save_rehearsal(self, answers: list[torch.Tensor]) -> None:
        """Save the answers to rehearsal prompts.

        Args:
            answers: token ids of each, int32.

        Raises:
            OSError: as for :meth:`save`.
        """
        lengths = torch.tensor([len(answer) for answer in answers])
        self._write_beside(_REHEARSAL, {"ids": torch.cat(answers), "lengths": lengths})

    def rehearsal(self) -> list[torch.Tensor] | None:
        """Load the answers to rehearsal prompts.

        Returns:
            What :meth:`save_rehearsal` saved for this job, if anything.
        """
        found = self._read_beside(_REHEARSAL, "ids", "lengths")
        return None if found is None else list(torch.split(found[0], found[1].tolist()))

    def save_teacher(self, tokens: torch.Tensor, logprobs: torch.Tensor, rest: torch.Tensor) -> None:
        """Save a teacher's likeliest tokens.

        Args:
            tokens: their ids, int32 ``[N, k]``.
            logprobs: their log-probabilities, float32 ``[N, k]``.
            rest: log-probability of all others, float32 ``[N]``.

        Raises:
            OSError: as for :meth:`save`.
        """
        self._write_beside(_TEACHER, {"tokens": tokens, "logprobs": logprobs, "rest": rest})

    def teacher(self) -> list[torch.Tensor] | None:
        """Load a teacher's likeliest tokens.

        Returns:
            What :meth:`save_teacher` saved for this job, if anything.
        """
        return self._read_beside(_TEACHER, "tokens", "logprobs", "rest")

    def try_write(self, action: Callable[[], object], what: str, warn: Callable[[str], None]) -> bool:
        """Write something that a run can do without.

        Args:
            action: writes.
            what: what it writes, as the subject of a warning.
            warn: called if it cannot be written.

        Returns:
            Whether it was written, or another worker writes it.
        """
        if not self.writes:
            return True
        try:
            action()
        except NOT_WRITTEN as error:
            warn(f"{what} could not be written to {self.folder}: {why_not_written(error, self.folder.parent)}")
            return False
        return True

    def clear(self) -> None:
        """Remove all checkpoints: the run has its model."""
        if not self.writes:
            return
        shutil.rmtree(self.folder, ignore_errors=True)

    def _write_beside(self, name: str, tensors: dict[str, torch.Tensor]) -> None:
        write_atomically(self.folder / name, save(tensors, metadata={"job": self.job}))

    def _read_beside(self, name: str, *keys: str) -> list[torch.Tensor] | None:
        """Tensors that :meth:`_write_beside` wrote for this job; None if there are none, or those of another job."""
        try:
            with safe_open(self.folder / name, "pt") as content:
                same_job = content.metadata() == {"job": self.job}
                tensors = [content.get_tensor(key) for key in keys]
        except (OSError, SafetensorError):
            return None
        return tensors if same_job else None

    def _write(self, kind: str, step: int, tensors: dict[str, torch.Tensor], state: dict[str, Any]) -> Path:
        create_folder(self.folder)
        for left in self.folder.glob(".aside-*"):  # of a process that was killed while writing
            shutil.rmtree(left, ignore_errors=True)
        aside = Path(tempfile.mkdtemp(dir=self.folder, prefix=".aside-"))
        try:
            save_file({name: tensor.detach().contiguous() for name, tensor in tensors.items()}, aside / _TENSORS)
            with (aside / _STATE).open("wb") as file:
                torch.save(state, file)
            files = {name: _properties(aside / name) for name in (_TENSORS, _STATE)}
            (aside / _COMPLETE).write_text(json.dumps({"job": self.job, "step": step, "files": files}))
            _sync(aside / _COMPLETE)
            _sync(aside)
            target = _folder(self.folder, kind, step)
            if target.exists():  # written before the run was resumed; the same again
                shutil.rmtree(target)
            os.rename(aside, target)
            _sync(self.folder)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise
        return target

    def _folders(self, kind: str) -> list[Path]:
        """Folders of a kind, oldest step first."""
        return sorted(self.folder.glob(f"{kind}-*"), key=_step) if self.folder.is_dir() else []

    def _problem(self, folder: Path) -> str | None:
        try:
            complete = json.loads((folder / _COMPLETE).read_text())
            if complete["job"] != self.job:
                return "it belongs to another recipe, model or data"
            for name, properties in complete["files"].items():
                if _properties(folder / name) != properties:
                    return f"{name} has changed since it was written"
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return "incomplete"
        return None


def _folder(inside: Path, kind: str, step: int) -> Path:
    return inside / f"{kind}-{step:06d}"


def _step(folder: Path) -> int:
    digits = folder.name.rpartition("-")[2]
    return int(digits) if digits.isdigit() else -1


def _properties(file: Path) -> dict[str, Any]:
    """Sync a file to disk; return its size and digest."""
    _sync(file)
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    return {"bytes": file.stat().st_size, "sha256": digest}


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
