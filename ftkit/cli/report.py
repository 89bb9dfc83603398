"""``ftkit report``: read a saved report, or write it in another form."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ftkit.cli.console import show
from ftkit.cli.output_files import ResultFiles, check_result_files, save_result

__all__ = ["report"]


def report(
    file: Annotated[Path, typer.Argument(metavar="REPORT", help="A report that was saved as .json.")],
    *,
    output: ResultFiles = None,
) -> None:
    """Show a saved report, or write it as .html or .md."""
    paths = check_result_files(output)
    from ftkit.evaluation import Report

    found = Report.load(file)
    save_result(found, paths)
    if not paths:
        show(found)
