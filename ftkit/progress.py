"""The progress that waiting, evaluating and the command line show: a bar, a notebook's cell, or plain lines."""

from __future__ import annotations

import importlib
import os
import sys
import threading
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from html import escape
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from typing_extensions import override

from ftkit.printable import printable, rich_console

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

__all__ = ["ProgressBar", "duration_text"]

_VARIABLE = "FTKIT_PROGRESS"
_FIRST_LINE_S, _LONGEST_PAUSE_S = 10.0, 60.0
"""Seconds until the first plain line, and the longest time between two. The pauses grow, so that logs stay short."""
_NOTEBOOK_PAUSE_S = 0.2
_MOST_NOTEBOOK_LINES = 50


@dataclass
class _State:
    """What is shown.

    Attributes:
        description: text before the numbers.
        total: number of items; None while it is not known.
        completed: number of items that are done.
        detail: text after the numbers.
        started: when the work began, by the monotonic clock.
        before: number of items that were done when it began.
    """

    description: str
    total: int | None
    completed: int
    detail: str = ""
    started: float = field(default_factory=time.monotonic)
    before: int = 0

    @property
    def counts(self) -> str:
        """``40 of 160 (25 %)``."""
        if self.total is None:
            return f"{self.completed:,}" if self.completed else ""
        share = f" ({self.completed / self.total:.0%})" if self.total else ""
        return f"{self.completed:,} of {self.total:,}{share}"

    @property
    def times(self) -> str:
        """Elapsed time, and an estimate of the time that is left."""
        seconds = time.monotonic() - self.started
        done = self.completed - self.before
        text = f"{duration_text(seconds)} so far"
        if self.total is not None and done > 0 and self.total > self.completed:
            text += f", about {duration_text(seconds / done * (self.total - self.completed))} left"
        return text

    @property
    def line(self) -> str:
        """All of it in one line."""
        return printable(f"{self.description}: " + ", ".join(filter(None, (self.counts, self.times, self.detail))))


def duration_text(seconds: float) -> str:
    """Format seconds: ``48 s``, ``3 min 20 s``, ``2 h 5 min``.

    Args:
        seconds: a time.

    Returns:
        The text.
    """
    rounded = round(seconds)
    if rounded < 60:
        return f"{rounded} s"
    if rounded < 3600:
        return f"{rounded // 60} min {rounded % 60} s"
    return f"{rounded // 3600} h {rounded % 3600 // 60} min"


class _Display(ABC):
    """One way to show progress."""

    def __init__(self, state: _State) -> None:
        self.state = state

    @abstractmethod
    def start(self) -> None:
        """Begin to show."""

    @abstractmethod
    def refresh(self) -> None:
        """Show the state as it is now."""

    @abstractmethod
    def print(self, line: str) -> None:
        """Show a line that stays."""

    @abstractmethod
    def stop(self) -> None:
        """End."""


class _Bar(_Display):
    """A bar in a terminal, drawn by rich."""

    def __init__(self, state: _State, *, transient: bool) -> None:
        super().__init__(state)
        self._transient = transient
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    @override
    def start(self) -> None:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[detail]}", markup=False),
            console=rich_console(stderr=True),
            transient=self._transient,
        )
        state = self.state
        self._task = self._bar.add_task(state.description, total=state.total, completed=state.completed, detail="")
        self._bar.start()

    @override
    def refresh(self) -> None:
        if self._bar is None or self._task is None:
            return
        state = self.state
        fields: dict[str, Any] = {"detail": state.detail}
        self._bar.update(
            self._task, completed=state.completed, total=state.total, description=state.description, **fields
        )

    @override
    def print(self, line: str) -> None:
        if self._bar is not None:
            self._bar.console.print(line, highlight=False, markup=False)

    @override
    def stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()


class _Notebook(_Display):
    """A bar in the output of a notebook's cell, which is changed in its place. It needs no widgets."""

    def __init__(self, state: _State, *, transient: bool) -> None:
        super().__init__(state)
        self._transient = transient
        self._lines: list[str] = []
        self._handle: Any = None
        self._shown_at = 0.0

    @override
    def start(self) -> None:
        shown = importlib.import_module("IPython.display")
        self._handle = shown.display(shown.HTML(self._html()), display_id=True)

    @override
    def refresh(self) -> None:
        if time.monotonic() - self._shown_at >= _NOTEBOOK_PAUSE_S:
            self._show(self._html())

    @override
    def print(self, line: str) -> None:
        self._lines.append(line)
        del self._lines[:-_MOST_NOTEBOOK_LINES]
        self._show(self._html())

    @override
    def stop(self) -> None:
        self._show("".join(self._kept()) if self._transient else self._html())

    def _show(self, html: str) -> None:
        self._shown_at = time.monotonic()
        if self._handle is not None:
            self._handle.update(importlib.import_module("IPython.display").HTML(html))

    def _kept(self) -> list[str]:
        return [f"<div>{escape(printable(line))}</div>" for line in self._lines]

    def _html(self) -> str:
        state = self.state
        whole = "" if state.total is None else f' value="{state.completed}" max="{max(1, state.total)}"'
        said = escape(state.line)
        return "".join([*self._kept(), f'<div class="ftkit-progress"><progress{whole}></progress> {said}</div>'])


class _Lines(_Display):
    """Plain lines on standard error: the first one soon, the next ones at growing intervals."""

    def __init__(self, state: _State) -> None:
        super().__init__(state)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._write, name="ftkit-progress", daemon=True)

    @override
    def start(self) -> None:
        self._thread.start()

    @override
    def refresh(self) -> None:
        pass  # the next line says it

    @override
    def print(self, line: str) -> None:
        _write_line(line)

    @override
    def stop(self) -> None:
        self._ended.set()
        self._thread.join()

    def _write(self) -> None:
        pause = _FIRST_LINE_S
        while not self._ended.wait(pause):
            _write_line(self.state.line)
            pause = min(_LONGEST_PAUSE_S, pause * 1.5)


class ProgressBar:
    """Progress on standard error, or in a notebook; a context manager.

    A terminal gets a bar, a notebook one in the cell's output. Elsewhere (a pipe, an IDE, CI, a container) there are
    plain lines, the first after ten seconds. The environment variable ``FTKIT_PROGRESS`` chooses instead: ``bar``,
    ``lines`` or ``off``.

    Args:
        description: Text before the bar.
        total: Number of items; None while it is not known.
        completed: Number of items that are done already.
        enabled: Whether to show anything at all.
        transient: Whether the bar disappears at the end.
    """

    def __init__(
        self,
        description: str,
        total: int | None = None,
        *,
        completed: int = 0,
        enabled: bool = True,
        transient: bool = True,
    ) -> None:
        self._state = _State(description, total, completed, before=completed)
        self._display = _display(self._state, transient=transient) if enabled else None

    def __enter__(self) -> Self:
        if self._display is not None:
            self._display.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._display is not None:
            self._display.stop()

    def update(
        self,
        *,
        completed: int | None = None,
        total: int | None = None,
        description: str | None = None,
        detail: str | None = None,
    ) -> None:
        """Change what is shown; arguments that are None stay as they are.

        Args:
            completed: Number of items that are done.
            total: Number of items.
            description: Text before the bar.
            detail: Text after the bar, such as the loss or the cost so far.
        """
        if self._display is None:
            return
        state = self._state
        state.completed = state.completed if completed is None else completed
        state.total = state.total if total is None else total
        state.description = state.description if description is None else description
        state.detail = state.detail if detail is None else detail
        self._display.refresh()

    def print(self, line: str, *, always: bool = False) -> None:
        """Print a line above the bar.

        Args:
            line: The text, shown as it is.
            always: Print it even where no progress is shown.
        """
        if self._display is not None:
            self._display.print(line)
        elif always:
            _write_line(line)


def _display(state: _State, *, transient: bool) -> _Display | None:
    chosen = os.environ.get(_VARIABLE, "").strip().lower()
    if chosen == "off":
        return None
    if chosen == "lines":
        return _Lines(state)
    if sys.stderr is None:  # a program without a console
        return None
    if chosen == "bar" or sys.stderr.isatty():
        return _Bar(state, transient=transient)
    return _Notebook(state, transient=transient) if _in_notebook() else _Lines(state)


def _in_notebook() -> bool:
    """Whether the code runs in a kernel of Jupyter, which shows HTML. IPython is loaded then."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and getattr(shell, "kernel", None) is not None


def _write_line(line: str) -> None:
    if sys.stderr is not None:
        print(printable(line), file=sys.stderr, flush=True)  # noqa: T201
