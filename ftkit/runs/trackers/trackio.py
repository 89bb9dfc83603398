"""``trackio``: trackio, an experiment tracker on this machine or in a Space of the hub."""

from __future__ import annotations

import contextlib
import contextvars
import os
import shlex
import sys
from typing import Any

from typing_extensions import override

from ftkit.extras import require
from ftkit.runs.trackers.metric_tracker import MetricTracker, flat_recipe, run_config
from ftkit.store import Event, RunRecord

__all__ = ["TrackioTracker"]


class TrackioTracker(MetricTracker):
    """Logs runs to trackio. ``trackio show`` opens its dashboard.

    trackio's own environment variables apply: ``TRACKIO_DIR``, ``TRACKIO_SPACE_ID``, ``TRACKIO_SERVER_URL``.

    Args:
        project: name of the project.
    """

    def __init__(self, project: str = "ftkit") -> None:
        self._trackio = require("trackio", extra="trackio", needed_for="the tracker trackio")
        self.project = project
        super().__init__()

    @override
    def open(self, run: RunRecord) -> Any:
        config = run_config(run) | {"name": run.name, "tags": list(run.tags), "notes": run.notes}
        # In an empty context, because trackio would end the run that the user's own code has open. It prints to
        # standard output, which belongs to results.
        with contextlib.redirect_stdout(sys.stderr):
            return contextvars.Context().run(
                self._trackio.init,
                project=self.project,
                name=run.id,
                config=config,
                resume="allow",
                embed=False,
                auto_log_gpu=False,  # the process that trains is another one
                auto_log_cpu=False,
            )

    @override
    def log(self, handle: Any, metrics: dict[str, float], step: int, at: float) -> None:
        handle.log(metrics, step=step)

    @override
    def note(self, handle: Any, event: Event) -> None:
        if "recipe" in event.data:  # trackio stores the configuration with the first numbers, which follow
            handle.config.update(flat_recipe(event.data["recipe"]))

    @override
    def finish(self, handle: Any, run: RunRecord | None) -> None:
        with contextlib.redirect_stdout(sys.stderr):
            handle.finish()

    @override
    def link(self, run: RunRecord) -> str:
        space = os.environ.get("TRACKIO_SPACE_ID")
        if space:
            return f"https://huggingface.co/spaces/{space}"
        return f"trackio show --project {shlex.quote(self.project)}"
