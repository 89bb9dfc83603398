"""A tracker: a ledger of training steps as CSV, for a clinic that must show how its models came about."""

from __future__ import annotations

import csv
from pathlib import Path


class LedgerTracker:
    """Appends a line for the start, each step and the end of a run.

    Args:
        path: the CSV file; ``ledger.csv`` in the current folder by default.
    """

    def __init__(self, path: str = "ledger.csv") -> None:
        self.path = Path(path)

    def on_start(self, run) -> None:
        self._add(run.id, "start", f"{run.backend}:{run.model}", run.data_fingerprint)

    def on_event(self, run, event) -> None:
        if event.kind == "step":
            self._add(run.id, "step", event.data["step"], event.data.get("loss"))

    def on_end(self, run) -> None:
        self._add(run.id, "end", run.state, run.error or "")

    def _add(self, *cells: object) -> None:
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow(cells)
