"""Terminal output: results on standard output, notes and errors on standard error."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer
from typing_extensions import override

from ftkit.printable import printable, rich_console

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = [
    "duration",
    "fail",
    "field_lines",
    "json_line",
    "json_text",
    "note",
    "out",
    "print_warnings",
    "show",
    "table_lines",
    "timestamp",
    "warn",
]


def out(text: str, *, nl: bool = True, colours: Mapping[str, str] | None = None, styled: bool = False) -> None:
    """Print a text to standard output. Control characters in it are shown as escapes.

    ``colours``: colours by the words that get them, each at its first place. ``styled``: the text has styles, and its
    control characters are escaped already.
    """
    text = text if styled else printable(text)
    for word, colour in (colours or {}).items():
        text = text.replace(word, typer.style(word, fg=colour), 1)
    typer.echo(text, nl=nl)


def note(text: str) -> None:
    """Print a message to standard error."""
    typer.echo(printable(text), err=True)


def fail(text: str) -> None:
    """Print an error to standard error."""
    typer.echo(typer.style("error: ", fg="red", bold=True) + printable(text), err=True)


class _Notes(logging.Handler):
    """Prints what is logged, with the trace of an exception. Texts of hosts, models and clients may be in both."""

    @override
    def emit(self, record: logging.LogRecord) -> None:
        note(f"{record.levelname.lower()}: {self.format(record)}")


def print_warnings(logger: str) -> None:
    """Print the warnings of a logger to standard error, once."""
    log = logging.getLogger(logger)
    if not any(isinstance(handler, _Notes) for handler in log.handlers):
        log.addHandler(_Notes(logging.WARNING))


def warn(text: str) -> None:
    """Print a warning to standard error."""
    typer.echo(typer.style("warning: ", fg="yellow", bold=True) + printable(text), err=True)


def show(result: RenderableType) -> None:
    """Print a result: formatted in a terminal, as plain text elsewhere."""
    if sys.stdout.isatty():
        rich_console().print(result)
    else:
        out(str(result))


def json_line(value: Any) -> str:
    """Format a value as JSON on one line."""
    import json

    return json.dumps(value, ensure_ascii=False, default=_object_json)


def json_text(value: Any) -> str:
    """Format a value as indented JSON."""
    import json

    return json.dumps(value, ensure_ascii=False, indent=2, default=_object_json)


def _object_json(value: Any) -> Any:
    """An answer of a Python class, or a call of a tool, as JSON data."""
    from ftkit.schema.object_json import object_json

    return object_json(value)


def table_lines(columns: Sequence[str], rows: Sequence[Sequence[str]], *, header: bool = True) -> list[str]:
    """Format rows as a table; the first line has the column titles, unless ``header`` is False."""
    from ftkit.render.table import Table

    return Table(columns, rows, header=header).lines() if header or rows else []


def field_lines(fields: Mapping[str, str]) -> list[str]:
    """Format names and values as lines; empty values are left out."""
    from ftkit.render.table import Table

    return Table(["", ""], [(f"{name}:", value) for name, value in fields.items() if value], header=False).lines()


def duration(seconds: float) -> str:
    """Format seconds: ``48 s``, ``3 min 20 s``, ``2 h 5 min``."""
    from ftkit.progress import duration_text

    return duration_text(seconds)


def timestamp(at: float) -> str:
    """Format Unix seconds as local date and time."""
    import time

    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
