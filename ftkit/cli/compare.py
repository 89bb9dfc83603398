"""``ftkit compare``."""

from __future__ import annotations

import math
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ftkit.cli.console import fail, show
from ftkit.cli.output_files import ResultFiles, check_result_files, save_result

__all__ = ["compare"]


class Requirement(StrEnum):
    """Verdict that ``--require`` demands."""

    BETTER = "better"
    NON_INFERIOR = "non-inferior"
    NOT_WORSE = "not-worse"


_SATISFIED_BY = {
    Requirement.BETTER: ("better",),
    Requirement.NON_INFERIOR: ("better", "non-inferior"),
    Requirement.NOT_WORSE: ("better", "non-inferior", "inconclusive"),
}


def compare(
    before: Annotated[Path, typer.Argument(metavar="BEFORE", help="Report (.json) of the baseline.")],
    after: Annotated[Path, typer.Argument(metavar="AFTER", help="Report (.json) of the candidate.")],
    *,
    margin: Annotated[
        float | None,
        typer.Option(
            metavar="LOSS", help="Largest acceptable loss of quality, e.g. 0.02. Choose it before the comparison."
        ),
    ] = None,
    output: ResultFiles = None,
    require: Annotated[
        Requirement | None,
        typer.Option(help="Exit with status 1 unless the verdict is at least this."),
    ] = None,
    primary: Annotated[
        str | None,
        typer.Option(metavar="METRIC", help="Metric of the verdict [default: the headline metric of BEFORE]"),
    ] = None,
    fail_below: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[METRIC=]VALUE",
            help="Exit with status 1 if AFTER is below a value, e.g. 0.9 or field:age=0.95. Repeatable.",
        ),
    ] = None,
    confidence: Annotated[float, typer.Option(help="Confidence level of the intervals and the verdict.")] = 0.95,
    other_prompts: Annotated[
        bool,
        typer.Option("--other-prompts", help="Allow other instructions or examples: compare one prompt with another."),
    ] = False,
) -> None:
    """Compare two reports on the same rows, with a verdict.

    The verdict is better, non-inferior, worse or inconclusive. It is computed from pairs of the same row.

    --require is a check for scripts. "better": the gain is significant. "non-inferior": also if any loss is smaller
    than --margin. "not-worse": also if the result is inconclusive, which is likely with few rows. --fail-below checks
    the value of a metric. An output file that ends in .xml has JUnit's format, for CI systems.
    """
    if require is Requirement.NON_INFERIOR and margin is None:
        raise typer.BadParameter("non-inferior needs --margin, the largest acceptable loss")
    paths = check_result_files(output, "comparison")
    thresholds = [_threshold(item) for item in fail_below or ()]
    from ftkit.evaluation import Report
    from ftkit.evaluation import compare as compare_reports
    from ftkit.results.number_format import value_text

    result = compare_reports(
        Report.load(before),
        Report.load(after),
        margin=margin,
        confidence=confidence,
        primary=primary,
        other_prompts=other_prompts,
    )
    checked = [(name or result.primary, value, result[name or result.primary].after) for name, value in thresholds]
    save_result(result, paths)
    show(result)
    failed = [(name, threshold, value) for name, threshold, value in checked if value is None or value < threshold]
    for name, threshold, value in failed:
        unit = result[name].unit
        limit = f"{threshold * 100:g} %" if unit == "rate" else f"{threshold:g}"
        fail(f"--fail-below is not met: {name} of {after} is {value_text(value, unit)}, below {limit}")
    if failed:
        raise typer.Exit(1)
    if require is not None and result.verdict not in _SATISFIED_BY[require]:
        fail(f"--require {require.value} is not met: the verdict is {result.verdict}")
        raise typer.Exit(1)


def _threshold(given: str) -> tuple[str | None, float]:
    name, _, value = given.rpartition("=")
    try:
        threshold = float(value)
    except ValueError:
        threshold = math.nan
    if not math.isfinite(threshold):  # no value is below nan, so the check would always pass
        raise typer.BadParameter(f'"{given}" is not a value, e.g. 0.9 or field:age=0.9', param_hint="--fail-below")
    return name or None, threshold
