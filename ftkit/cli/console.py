"""What goes to the terminal: results to standard output, notes and errors to standard error."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["aligned", "duration", "fail", "json_line", "json_text", "note", "show", "stamp"]


def note(text: str) -> None:
    """A line for the person at the terminal; scripts do not see it on standard output."""
    typer.echo(text, err=True)


def fail(text: str) -> None:
    """What went wrong."""
    typer.echo(typer.style("error: ", fg="red", bold=True) + text, err=True)


def show(found: RenderableType) -> None:
    """A report or comparison: as a table in a terminal, as plain text elsewhere."""
    if sys.stdout.isatty():
        from rich.console import Console

        Console().print(found)
    else:
        typer.echo(str(found))


def json_line(value: Any) -> str:
    """``value`` as JSON on one line."""
    import json

    return json.dumps(value, ensure_ascii=False)


def json_text(value: Any) -> str:
    """``value`` as JSON that people can read too."""
    import json

    return json.dumps(value, ensure_ascii=False, indent=2)


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Cells in columns, two spaces apart."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def duration(seconds: float) -> str:
    """``48 s``, ``3 min 20 s``, ``2 h 5 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def stamp(at: float) -> str:
    """A time in Unix seconds as local date and time."""
    import time

    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
