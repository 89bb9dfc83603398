"""``jsonl``: the events of runs in a file of JSON lines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from typing_extensions import override

from ftkit.files import home
from ftkit.runs.trackers.protocol import Tracker
from ftkit.store import Event, RunRecord

__all__ = ["JsonLinesTracker"]


class JsonLinesTracker(Tracker):
    """Appends events to a file of JSON lines.

    Each line has ``run`` (the id) and ``type``: ``start`` (with the run's record), ``event`` (with ``seq``, ``at``,
    ``kind`` and ``data``) or ``end`` (with ``state``, ``error`` and ``summary``). A line that is in the file already is
    not written again.

    Args:
        path: the file. Several runs may share one. ``trackers.jsonl`` in ftkit's home by default.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = Path(path) if path else home() / "trackers.jsonl"
        self._written: dict[str, int] = {}

    @override
    def on_start(self, run: RunRecord) -> None:
        if self._last_seq(run.id) < 0:
            self._write(run.id, 0, {"type": "start", **run.model_dump(mode="json")})

    @override
    def on_event(self, run: RunRecord, event: Event) -> None:
        if event.seq > self._last_seq(run.id):
            self._write(run.id, event.seq, {"type": "event", **event.model_dump(mode="json")})

    @override
    def on_end(self, run: RunRecord) -> None:
        self._write(
            run.id,
            self._last_seq(run.id),
            {"type": "end", "state": run.state, "error": run.error, "summary": run.summary},
        )

    def _last_seq(self, run_id: str) -> int:
        """Number of the run's last event in the file; 0 if only its start is there, -1 if nothing is."""
        if run_id not in self._written:
            self._written[run_id] = max((line.get("seq", 0) for line in self._read(run_id)), default=-1)
        return self._written[run_id]

    def _read(self, run_id: str) -> list[dict[str, Any]]:
        lines = []
        if self.path.is_file():
            with self.path.open(encoding="utf-8") as file:
                for text in file:
                    try:
                        line = json.loads(text)
                    except ValueError:  # cut off when its process was killed
                        continue
                    if line.get("run") == run_id:
                        lines.append(line)
        return lines

    def _write(self, run_id: str, seq: int, line: dict[str, Any]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a+b") as file:
            file.seek(0, 2)
            if file.tell():
                file.seek(-1, 2)
                begin = b"" if file.read(1) == b"\n" else b"\n"
            else:
                begin = b""
            file.write(begin + json.dumps({"run": run_id, **line}, ensure_ascii=False).encode() + b"\n")
        self._written[run_id] = seq
