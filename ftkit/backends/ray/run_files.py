"""What travels between a run's job and its submitter, wherever the storage is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["RunFiles", "Workspace"]


@dataclass(frozen=True, slots=True)
class Workspace:
    """Where a worker of a run trains.

    Attributes:
        output: folder for the model.
        received: folder of the files of the rows, each named by its SHA-256.
        home: ftkit's home there.
    """

    output: Path
    received: Path
    home: Path

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints, as :attr:`ftkit.training.job.Job.checkpoints` names it."""
        return self.output.with_name(f"{self.output.name}-checkpoints")


class RunFiles(ABC):
    """The files of a run. One worker writes events; any process reads them."""

    @abstractmethod
    def check(self) -> None:
        """Check that the storage is there.

        Raises:
            RunError: it is not.
            HostError: it cannot be used.
        """

    @abstractmethod
    def write_job(self, job: dict[str, Any]) -> None:
        """Write what the job reads.

        Args:
            job: plain JSON values.
        """

    @abstractmethod
    def job(self) -> dict[str, Any]:
        """Read what was written by :meth:`write_job`.

        Returns:
            The job.
        """

    @abstractmethod
    def has_job(self) -> bool:
        """Say whether :meth:`write_job` was called.

        Returns:
            Whether it was.
        """

    @abstractmethod
    def locked(self, here: Path) -> AbstractContextManager[None]:
        """Let one process at a time submit the run.

        Args:
            here: the run's folder on this machine.

        Returns:
            A context manager.
        """

    @abstractmethod
    def keep(self, file: Path, digest: str) -> None:
        """Copy a file of the rows to the storage, unless it is there.

        Args:
            file: the file.
            digest: its SHA-256.
        """

    @abstractmethod
    def write_result(self, name: str, content: bytes) -> None:
        """Keep a part of what a job has computed, whole or not at all.

        Args:
            name: its name.
            content: its content.
        """

    @abstractmethod
    def read_result(self, name: str, most: int) -> bytes:
        """Read what :meth:`write_result` wrote.

        Args:
            name: its name.
            most: the largest size.

        Returns:
            Its content.

        Raises:
            HostError: it is gone, or larger.
        """

    @abstractmethod
    def append(self, kind: str, data: dict[str, Any]) -> None:
        """Add an event.

        Args:
            kind: the kind of event.
            data: its data.
        """

    @abstractmethod
    def events(self, start: int) -> Iterator[tuple[int, dict[str, Any]]]:
        """Read events.

        Args:
            start: the place at which the first one begins; 0 is the first of all.

        Returns:
            The place after each event, and the event. One that a crash has cut off is left out.
        """

    @abstractmethod
    def finish(self, **ended: Any) -> None:
        """Say how the job ended.

        Args:
            **ended: ``state``, and ``summary``, ``error`` or ``reason``.
        """

    @abstractmethod
    def ended(self) -> dict[str, Any] | None:
        """Read how the job ended.

        Returns:
            What :meth:`finish` wrote; None if it has not ended.
        """

    @abstractmethod
    def begin(self) -> None:
        """Prepare a new job of the run: it has neither begun nor ended, and nobody asks it to stop."""

    @abstractmethod
    def say_begun(self) -> None:
        """Say that the workers of the job are there."""

    @abstractmethod
    def has_begun(self) -> bool:
        """Say whether the workers of the job were there.

        Returns:
            Whether they were. Before that nothing is lost if the job is stopped at once.
        """

    @abstractmethod
    def ask_to_stop(self) -> None:
        """Ask the job to write a checkpoint and to stop."""

    @abstractmethod
    def is_asked_to_stop(self) -> bool:
        """Say whether the job is asked to stop.

        Returns:
            Whether it is.
        """

    @abstractmethod
    def copy_samples(self, here: Path, *, whole: bool) -> None:
        """Copy the log of samples, as far as there is one.

        Args:
            here: the copy.
            whole: whether to copy it anew; else what it has more than the copy, where the storage allows that.
        """

    @abstractmethod
    def has_model(self) -> bool:
        """Say whether the run has made its model.

        Returns:
            Whether it has.
        """

    @abstractmethod
    def fetch_model(self, folder: Path) -> None:
        """Copy the model.

        Args:
            folder: where it goes; replaced if it exists.
        """

    @abstractmethod
    def local_model(self, cache: Path) -> Path | None:
        """Return the model as a folder that this machine can load.

        Args:
            cache: a folder of this machine, for models that must be fetched.

        Returns:
            The folder; None if there is no model.
        """

    @abstractmethod
    def delete(self) -> None:
        """Delete all of the run that is on the storage."""

    @abstractmethod
    def workspace(self, *, first: bool) -> AbstractContextManager[Workspace]:
        """Let a worker train.

        Args:
            first: whether it is the first worker, which writes.

        Returns:
            A context manager, at whose end without an error the model is on the storage.
        """

    @abstractmethod
    def ray_storage(self) -> dict[str, Any]:
        """Say where Ray Train keeps what it notes of the job.

        Returns:
            Arguments of ``ray.train.RunConfig``.
        """
