"""The option ``--output`` and the files it writes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ftkit.cli.console import note

if TYPE_CHECKING:
    from ftkit.results.result import Result

__all__ = ["ResultFiles", "check_result_files", "save_result"]

ResultFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "-o", "--output", metavar="FILE", help="Write the result to FILE: .json (complete), .html or .md. Repeatable."
    ),
]


def check_result_files(paths: Sequence[Path] | None, result_type: str) -> list[Path]:
    """Check, before the work starts, that results of a type can be written to the paths."""
    from ftkit.results.result import suffixes_of

    suffixes = suffixes_of(result_type)
    for path in paths or ():
        if path.suffix.lower() not in suffixes:
            raise typer.BadParameter(f"{path}: must end in {', '.join(suffixes)}", param_hint="-o")
        if path.is_dir() or not _folder(path).is_dir():
            raise typer.BadParameter(f"{path}: cannot write a file there", param_hint="-o")
    return list(paths or ())


def _folder(path: Path) -> Path:
    """Return the nearest parent of ``path`` that exists; the folders below are created later."""
    return next(folder for folder in path.absolute().parents if folder.exists())


def save_result(result: Result, paths: Sequence[Path]) -> None:
    """Write a result to each path."""
    for path in paths:
        result.save(path)
        note(f"wrote {path}")
