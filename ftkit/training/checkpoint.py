"""Checkpoints of a run: written so that what is found later is whole, or is not taken for one.

A checkpoint is a folder ``step-000120``: ``trainable.safetensors`` (the trained tensors), ``state.pt`` (optimiser,
random numbers, counters) and ``COMPLETE``, which names the other files with their sizes and digests. All is written
aside and synced to disk, ``COMPLETE`` last; then the folder gets its name. So a crash, a full disk or a kill at any
moment leaves the checkpoints of before, and a torn one is passed over.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save, save_file

from ftkit.files import write_atomically

__all__ = ["NOT_WRITTEN", "Checkpoint", "Checkpoints"]

_COMPLETE, _TENSORS, _STATE = "COMPLETE", "trainable.safetensors", "state.pt"
_REFERENCE = "reference.safetensors"

NOT_WRITTEN = (OSError, RuntimeError, SafetensorError)
"""What a full disk looks like, depending on who writes."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A whole checkpoint on disk."""

    folder: Path
    step: int

    def tensors(self) -> dict[str, torch.Tensor]:
        """The trained tensors by name."""
        found: dict[str, torch.Tensor] = load_file(self.folder / _TENSORS)
        return found

    def state(self) -> dict[str, Any]:
        """Everything else, as it was given to :meth:`Checkpoints.save`."""
        found: dict[str, Any] = torch.load(self.folder / _STATE, map_location="cpu", weights_only=True)
        return found


class Checkpoints:
    """The checkpoints of one run.

    Args:
        folder: where they lie; made when the first one is written.
        job: digest of what is trained on what. Checkpoints of another job are not taken.
        keep: how many of the newest are kept.
    """

    def __init__(self, folder: Path, job: str, keep: int) -> None:
        self.folder = folder
        self.job = job
        self.keep = keep

    def save(self, step: int, tensors: dict[str, torch.Tensor], state: dict[str, Any]) -> None:
        """Write the checkpoint of ``step``, then drop the oldest.

        Raises:
            OSError, RuntimeError, SafetensorError: it could not be written; those of before are still there.
        """
        self._write("step", step, tensors, state)
        for old in self._found("step")[: -self.keep]:
            shutil.rmtree(old, ignore_errors=True)

    def save_best(self, step: int, tensors: dict[str, torch.Tensor]) -> None:
        """Write the tensors of the best step so far in the place of those before. Raises as :meth:`save`."""
        made = self._write("best", step, tensors, {})
        for old in self._found("best"):
            if old != made:
                shutil.rmtree(old, ignore_errors=True)

    def newest(self) -> tuple[Checkpoint | None, list[str]]:
        """The newest whole checkpoint of this job, and why newer ones were passed over."""
        passed: list[str] = []
        for folder in reversed(self._found("step")):
            fault = self._fault(folder)
            if fault is None:
                return Checkpoint(folder, _step(folder)), passed
            passed.append(f"{folder.name}: {fault}")
        return None, passed

    def best(self, step: int) -> Checkpoint | None:
        """The best one, if it is that of ``step`` and whole."""
        folder = _folder(self.folder, "best", step)
        return Checkpoint(folder, step) if folder.is_dir() and self._fault(folder) is None else None

    def save_reference(self, values: torch.Tensor) -> None:
        """Keep the reference's log-probabilities [N]. Raises as :meth:`save`."""
        write_atomically(self.folder / _REFERENCE, save({"values": values}, metadata={"job": self.job}))

    def reference(self) -> torch.Tensor | None:
        """What :meth:`save_reference` kept for this job, if anything."""
        file = self.folder / _REFERENCE
        try:
            with safe_open(file, "pt") as content:
                ours = content.metadata() == {"job": self.job}
                values: torch.Tensor = content.get_tensor("values")
        except (OSError, SafetensorError):
            return None
        return values if ours else None

    def clear(self) -> None:
        """Remove them all: the run has its model."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _write(self, kind: str, step: int, tensors: dict[str, torch.Tensor], state: dict[str, Any]) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        for left in self.folder.glob(".aside-*"):  # of a process that was killed while it wrote
            shutil.rmtree(left, ignore_errors=True)
        aside = Path(tempfile.mkdtemp(dir=self.folder, prefix=".aside-"))
        try:
            save_file({name: one.detach().contiguous() for name, one in tensors.items()}, aside / _TENSORS)
            with (aside / _STATE).open("wb") as file:
                torch.save(state, file)
            files = {name: _about(aside / name) for name in (_TENSORS, _STATE)}
            (aside / _COMPLETE).write_text(json.dumps({"job": self.job, "step": step, "files": files}))
            _sync(aside / _COMPLETE)
            _sync(aside)
            target = _folder(self.folder, kind, step)
            if target.exists():  # of before a resumption; the same again
                shutil.rmtree(target)
            os.rename(aside, target)
            _sync(self.folder)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise
        return target

    def _found(self, kind: str) -> list[Path]:
        """Folders of a kind, the oldest step first."""
        return sorted(self.folder.glob(f"{kind}-*"), key=_step) if self.folder.is_dir() else []

    def _fault(self, folder: Path) -> str | None:
        try:
            complete = json.loads((folder / _COMPLETE).read_text())
            if complete["job"] != self.job:
                return "of another recipe, model or data"
            for name, about in complete["files"].items():
                if _about(folder / name) != about:
                    return f"{name} is not what was written"
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return "half-written"
        return None


def _folder(inside: Path, kind: str, step: int) -> Path:
    return inside / f"{kind}-{step:06d}"


def _step(folder: Path) -> int:
    digits = folder.name.rpartition("-")[2]
    return int(digits) if digits.isdigit() else -1


def _about(file: Path) -> dict[str, Any]:
    """Size and digest of a file, which is on disk when this returns."""
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
