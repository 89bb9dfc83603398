"""The progress bar that waiting for a run, evaluating and the command line share."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from ftkit.printable import rich_console

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

__all__ = ["ProgressBar"]


class ProgressBar:
    """A progress bar on standard error; a context manager. Draws nothing when standard error is not a terminal.

    Args:
        description: Text before the bar.
        total: Number of items; None while it is not known.
        completed: Number of items that are done already.
        enabled: Whether to draw at all.
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
        self._description, self._total, self._completed = description, total, completed
        self._enabled, self._transient = enabled and sys.stderr.isatty(), transient
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        if self._enabled:
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
            self._task = self._bar.add_task(self._description, total=self._total, completed=self._completed, detail="")
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(
        self,
        *,
        completed: int | None = None,
        total: int | None = None,
        description: str | None = None,
        detail: str | None = None,
    ) -> None:
        """Change what the bar shows; arguments that are None stay as they are.

        Args:
            completed: Number of items that are done.
            total: Number of items.
            description: Text before the bar.
            detail: Text after the bar, such as the loss or the cost so far.
        """
        if self._bar is None or self._task is None:
            return
        fields: dict[str, Any] = {} if detail is None else {"detail": detail}
        self._bar.update(self._task, completed=completed, total=total, description=description, **fields)

    def print(self, line: str) -> None:
        """Print a line above the bar.

        Args:
            line: The text, shown as it is.
        """
        if self._bar is not None:
            self._bar.console.print(line, highlight=False, markup=False)
