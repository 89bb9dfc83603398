"""What a waiting person sees of a run."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from ftkit.store import Event

__all__ = ["Progress"]


class Progress:
    """A bar on standard error, fed with events; nothing is drawn when that is no terminal.

    Args:
        model: what is trained, for the bar's title.
        run_id: shown once at the beginning, so that the run can be found again.
        shown: draw at all.
    """

    def __init__(self, model: str, run_id: str, *, shown: bool) -> None:
        console = Console(stderr=True)
        self._shown = shown and console.is_terminal
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}"),
            console=console,
            disable=not self._shown,
        )
        self._title = model
        self._run_id = run_id
        self._figures: dict[str, str] = {}
        self._bar = self._bars.add_task(f"{model} waiting", total=None, figures="")

    def __enter__(self) -> Self:
        self._bars.start()
        self.say(f"run {self._run_id}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def say(self, text: str) -> None:
        """A line above the bar."""
        if self._shown:
            self._bars.console.print(text, highlight=False)

    def show(self, event: Event) -> None:
        """Let an event be seen."""
        data = event.data
        if event.kind == "step":
            self._figures |= _told(data)
            if "tokens_per_second" in data:
                self._figures["tok/s"] = f"{data['tokens_per_second']:.0f}"
            self._update(completed=data["step"], total=data.get("steps"))
        elif event.kind == "validation":
            self._figures |= {f"val {name}": text for name, text in _told(data).items()}
            self._update()
        elif event.kind == "state":
            self._bars.update(self._bar, description=f"{self._title} {data['state']}")
        elif event.kind in ("warning", "error"):
            self.say(f"{event.kind}: {data.get('message', '')}")

    def _update(self, completed: int | None = None, total: int | None = None) -> None:
        figures = " ".join(f"{name} {value}" for name, value in self._figures.items())
        self._bars.update(self._bar, completed=completed, total=total, figures=figures)


def _told(data: dict[str, Any]) -> dict[str, str]:
    """The reward, where there is one; else the loss."""
    name = "reward" if data.get("reward") is not None else "loss"
    return {name: f"{data[name]:.3f}"} if data.get(name) is not None else {}
