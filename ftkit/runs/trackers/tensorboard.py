"""``tensorboard``: event files that TensorBoard shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from typing_extensions import override

from ftkit.extras import require
from ftkit.files import home
from ftkit.runs.trackers.metric_tracker import MetricTracker
from ftkit.store import RunRecord

__all__ = ["TensorBoardTracker"]


class TensorBoardTracker(MetricTracker):
    """Writes event files, in a folder for each run. ``tensorboard --logdir FOLDER`` shows them.

    Args:
        folder: the folder of all runs; ``tensorboard`` in ftkit's home by default.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        self._summary = require("tensorboard.summary", extra="tensorboard", needed_for="the tracker tensorboard")
        self.folder = Path(folder) if folder else home() / "tensorboard"
        super().__init__()

    @override
    def open(self, run: RunRecord) -> Any:
        return self._summary.Writer(str(self.folder / run.id))

    @override
    def log(self, handle: Any, metrics: dict[str, float], step: int, at: float) -> None:
        for name, value in metrics.items():
            handle.add_scalar(name, value, step, wall_time=at)
        handle.flush()

    @override
    def finish(self, handle: Any, run: RunRecord | None) -> None:
        handle.close()

    @override
    def link(self, run: RunRecord) -> str:
        return f"tensorboard --logdir {self.folder}"
