"""The files that results are written to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ftkit.cli.console import note

if TYPE_CHECKING:
    from ftkit.evaluation import Comparison, Overview, Report
    from ftkit.linting import LintReport

__all__ = ["ResultFiles", "check_result_files", "save_result"]

_SUFFIXES = (".json", ".html", ".md")

ResultFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "-o", "--output", metavar="FILE", help="Where to write it: .json (complete), .html or .md. Repeatable."
    ),
]


def check_result_files(paths: Sequence[Path] | None, *, more: Sequence[str] = ()) -> list[Path]:
    """The paths, seen to be writable in a known form now, not after an hour of work; ``more``: further suffixes."""
    suffixes = (*_SUFFIXES, *more)
    for path in paths or ():
        if path.suffix.lower() not in suffixes:
            raise typer.BadParameter(f"{path}: must end in {', '.join(suffixes)}", param_hint="-o")
        if path.is_dir() or not _folder(path).is_dir():
            raise typer.BadParameter(f"{path}: no file can be written there", param_hint="-o")
    return list(paths or ())


def _folder(path: Path) -> Path:
    """The folder of ``path``, or of its parents the nearest that exists: those below are made when it is written."""
    return next(folder for folder in path.absolute().parents if folder.exists())


def save_result(found: Report | Comparison | Overview | LintReport, paths: Sequence[Path]) -> None:
    """Write what was found to each path."""
    for path in paths:
        found.save(path)
        note(f"wrote {path}")
