"""The progress of a run, from its events."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from ftkit.progress import ProgressBar
from ftkit.store import Event

__all__ = ["RunProgress"]


class RunProgress:
    """Show the progress of a run; a context manager. See :class:`ftkit.progress.ProgressBar`.

    Args:
        model: The model that is trained, for the bar's title.
        run_id: Printed once at the beginning, so that the run can be found again.
        shown: Whether to draw at all.
    """

    def __init__(self, model: str, run_id: str, *, shown: bool) -> None:
        self._bar = ProgressBar(f"{model} waiting", enabled=shown, transient=False)
        self._model, self._run_id = model, run_id
        self._metrics: dict[str, str] = {}

    def __enter__(self) -> Self:
        self._bar.__enter__()
        self.print(f"run {self._run_id}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.__exit__(kind, error, trace)

    def print(self, line: str, *, always: bool = False) -> None:
        """Print a line above the bar.

        Args:
            line: The text.
            always: Print it even where no progress is shown.
        """
        self._bar.print(line, always=always)

    def show(self, event: Event) -> None:
        """Update the bar from an event.

        Args:
            event: An event of the run, in the order of the store.
        """
        data = event.data
        if event.kind == "step":
            self._metrics |= _reward_or_loss(data)
            if "tokens_per_second" in data:
                self._metrics["tok/s"] = f"{data['tokens_per_second']:.0f}"
            self._bar.update(completed=data["step"], total=data.get("steps"), detail=self._detail())
        elif event.kind == "validation":
            self._metrics |= {f"val {name}": text for name, text in _reward_or_loss(data).items()}
            if (name := data.get("eval_metric")) is not None:
                self._metrics[f"val {name}"] = f"{data[name]:.3f}"
            if data.get("preserve_kl") is not None:
                self._metrics["harm"] = f"{data['preserve_kl']:.3f}"
            self._bar.update(detail=self._detail())
        elif event.kind == "state":
            self._bar.update(description=f"{self._model} {data['state']}")
        elif event.kind in ("warning", "error"):
            self.print(f"{event.kind}: {data.get('message', '')}")
        elif event.kind == "log" and ("tracker" in data or "waiting for its turn" in str(data.get("message", ""))):
            self.print(str(data.get("message", "")))

    def _detail(self) -> str:
        return " ".join(f"{name} {value}" for name, value in self._metrics.items())


def _reward_or_loss(data: dict[str, Any]) -> dict[str, str]:
    name = "reward" if data.get("reward") is not None else "loss"
    return {name: f"{data[name]:.3f}"} if data.get(name) is not None else {}
