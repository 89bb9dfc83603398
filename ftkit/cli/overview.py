"""``ftkit overview``: many reports on the same rows, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ftkit.cli.console import show
from ftkit.cli.output_files import ResultFiles, check_result_files, save_result

__all__ = ["overview"]


def overview(
    reports: Annotated[
        list[Path], typer.Argument(metavar="REPORT…", help="Reports (.json); the others are compared with the first.")
    ],
    *,
    margin: Annotated[
        float | None, typer.Option(metavar="LOSS", help="The loss that would still be acceptable: 0.02.")
    ] = None,
    output: ResultFiles = None,
) -> None:
    """Put many reports side by side, and say which no other beats."""
    paths = check_result_files(output)
    from ftkit.evaluation import Report
    from ftkit.evaluation import overview as put

    found = put([Report.load(path) for path in reports], margin=margin)
    save_result(found, paths)
    show(found)
