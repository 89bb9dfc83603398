"""``ftkit overview``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ftkit.cli.console import show
from ftkit.cli.output_files import ResultFiles, check_result_files, save_result

__all__ = ["overview"]


def overview(
    reports: Annotated[
        list[Path], typer.Argument(metavar="REPORT…", help="Reports (.json). The first one is the baseline.")
    ],
    *,
    margin: Annotated[
        float | None, typer.Option(metavar="LOSS", help="Largest acceptable loss of quality, e.g. 0.02.")
    ] = None,
    output: ResultFiles = None,
) -> None:
    """Compare several reports on the same rows, side by side."""
    paths = check_result_files(output, "overview")
    from ftkit.evaluation import Report
    from ftkit.evaluation import overview as compare_all

    result = compare_all([Report.load(path) for path in reports], margin=margin)
    save_result(result, paths)
    show(result)
