"""``ftkit report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ftkit.cli.console import show
from ftkit.cli.output_files import ResultFiles, check_result_files, save_result

__all__ = ["report"]


def report(
    file: Annotated[Path, typer.Argument(metavar="REPORT", help="Report saved as .json.")],
    *,
    output: ResultFiles = None,
) -> None:
    """Show a saved report, or convert it to .html or .md."""
    paths = check_result_files(output, "report")
    from ftkit.evaluation import Report

    loaded = Report.load(file)
    save_result(loaded, paths)
    if not paths:
        show(loaded)
