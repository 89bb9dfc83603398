"""``wandb``: Weights & Biases, online or offline."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any

from typing_extensions import override

from ftkit.extras import require
from ftkit.runs.trackers.metric_tracker import MetricTracker, flat_recipe, run_config
from ftkit.store import Event, RunRecord

__all__ = ["WandbTracker"]


class WandbTracker(MetricTracker):
    """Logs runs to Weights & Biases, under the run's id.

    W&B's own environment variables apply: ``WANDB_MODE=offline`` writes to the folder ``wandb`` (or ``WANDB_DIR``),
    which ``wandb sync`` uploads later; ``WANDB_API_KEY``, ``WANDB_ENTITY``, ``WANDB_PROJECT``.

    Args:
        project: name of the project; ``WANDB_PROJECT``, or ``ftkit``, by default.
    """

    def __init__(self, project: str | None = None) -> None:
        self._wandb = require("wandb", extra="wandb", needed_for="the tracker wandb")
        self.project = project
        self._links: dict[str, str] = {}
        super().__init__()

    @override
    def open(self, run: RunRecord) -> Any:
        with contextlib.redirect_stdout(sys.stderr):
            handle = self._wandb.init(
                project=self.project or os.environ.get("WANDB_PROJECT") or "ftkit",
                id=run.id,
                name=run.name or run.id,
                tags=list(run.tags) or None,
                notes=run.notes,
                config=run_config(run),
                resume="allow",
                reinit="create_new",  # beside runs of the user's own code
                settings=self._wandb.Settings(x_disable_stats=True, console="off"),
            )
        self._links[run.id] = handle.url or f"wandb sync {handle.dir.removesuffix('files').rstrip('/')}"
        return handle

    @override
    def log(self, handle: Any, metrics: dict[str, float], step: int, at: float) -> None:
        handle.log(metrics, step=step)

    @override
    def note(self, handle: Any, event: Event) -> None:
        if event.kind == "report":
            handle.summary.update({"report": str(event.data.get("label", ""))})
        elif "recipe" in event.data:
            handle.config.update(flat_recipe(event.data["recipe"]), allow_val_change=True)

    @override
    def finish(self, handle: Any, run: RunRecord | None) -> None:
        with contextlib.redirect_stdout(sys.stderr):
            handle.finish(exit_code=1 if run is not None and run.state == "failed" else 0)

    @override
    def link(self, run: RunRecord) -> str:
        return self._links.get(run.id, "")
