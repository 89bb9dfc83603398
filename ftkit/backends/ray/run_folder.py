"""The folder of a run on the storage that the cluster and its submitter share."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ftkit.backends.ray.json_lines import JsonLines
from ftkit.files import create_folder, write_atomically

__all__ = ["RunFolder"]


class RunFolder:
    """What travels between a run's job and its submitter. One worker writes events; any process reads them.

    Args:
        storage: the shared folder.
        run_id: id of the run.
    """

    def __init__(self, storage: str, run_id: str) -> None:
        self.path = Path(storage) / "runs" / run_id
        self.received = Path(storage) / "received"
        self.model = self.path / "model"
        self._events = JsonLines(self.path / "events.jsonl")
        self._end = self.path / "end.json"
        self._stop = self.path / "stop"
        self._began = self.path / "began"

    def write_job(self, job: dict[str, Any]) -> None:
        """Write what the job reads.

        Args:
            job: plain JSON values.
        """
        create_folder(self.path)
        write_atomically(self.path / "described.json", json.dumps(job))

    def job(self) -> dict[str, Any]:
        """Read what was written by :meth:`write_job`.

        Returns:
            The job.
        """
        described: dict[str, Any] = json.loads((self.path / "described.json").read_text(encoding="utf-8"))
        return described

    def append(self, kind: str, data: dict[str, Any]) -> None:
        """Add an event.

        Args:
            kind: the kind of event.
            data: its data.
        """
        self._events.append({"at": time.time(), "kind": kind, "data": data})

    def events(self, start: int) -> Iterator[tuple[int, dict[str, Any]]]:
        """Read events.

        Args:
            start: the byte at which the first one begins.

        Returns:
            The byte after each event, and the event. One that a crash has cut off is left out.
        """
        return self._events.read(start)

    def finish(self, **ended: Any) -> None:
        """Say how the job ended.

        Args:
            **ended: ``state``, and ``summary``, ``error`` or ``reason``.
        """
        write_atomically(self._end, json.dumps(ended))

    def ended(self) -> dict[str, Any] | None:
        """Read how the job ended.

        Returns:
            What :meth:`finish` wrote; None if it has not ended.
        """
        try:
            ended: dict[str, Any] = json.loads(self._end.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return ended

    def begin(self) -> None:
        """Prepare a new job of the run: it has neither begun nor ended, and nobody asks it to stop."""
        for file in (self._end, self._stop, self._began):
            file.unlink(missing_ok=True)

    def say_begun(self) -> None:
        """Say that the workers of the job are there."""
        self._began.touch()

    def has_begun(self) -> bool:
        """Say whether the workers of the job were there.

        Returns:
            Whether they were. Before that nothing is lost if the job is stopped at once.
        """
        return self._began.exists()

    def ask_to_stop(self) -> None:
        """Ask the job to write a checkpoint and to stop."""
        self._stop.touch()

    def is_asked_to_stop(self) -> bool:
        """Say whether the job is asked to stop.

        Returns:
            Whether it is.
        """
        return self._stop.exists()
