"""``ftkit compare``: two reports on the same rows, and whether the second is as good as it must be."""

from __future__ import annotations

import math
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ftkit.cli.console import fail, show
from ftkit.cli.output_files import ResultFiles, check_result_files, save_result

__all__ = ["compare"]


class Demand(StrEnum):
    """What the second model must be shown to be."""

    BETTER = "better"
    NON_INFERIOR = "non-inferior"
    NOT_WORSE = "not-worse"


_MET_BY = {
    Demand.BETTER: ("better",),
    Demand.NON_INFERIOR: ("better", "non-inferior"),
    Demand.NOT_WORSE: ("better", "non-inferior", "inconclusive"),
}


def compare(
    before: Annotated[Path, typer.Argument(metavar="BEFORE", help="Report (.json) of the model to beat or replace.")],
    after: Annotated[Path, typer.Argument(metavar="AFTER", help="Report (.json) of the other.")],
    *,
    margin: Annotated[
        float | None,
        typer.Option(metavar="LOSS", help="The loss that would still be acceptable, set before looking: 0.02."),
    ] = None,
    output: ResultFiles = None,
    require: Annotated[
        Demand | None,
        typer.Option(help="End with status 1 unless the verdict is at least this."),
    ] = None,
    primary: Annotated[
        str | None, typer.Option(metavar="METRIC", help="The metric of the verdict [default: that of BEFORE]")
    ] = None,
    fail_below: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[METRIC=]VALUE",
            help="End with status 1 when AFTER is below this: 0.9 for the headline, field:age=0.95. Repeatable.",
        ),
    ] = None,
    confidence: Annotated[float, typer.Option(help="Of the intervals, and of the verdict.")] = 0.95,
) -> None:
    """Compare two reports on the same rows, with a verdict.

    The verdict is better, non-inferior, worse or inconclusive, from rows paired one by one.

    --require makes it a gate for scripts. "better": a gain beyond chance. "non-inferior": that, or any loss is smaller
    than --margin. "not-worse": anything but a loss beyond chance; this also lets pass what too few rows cannot tell.
    --fail-below is a gate on the value itself. A file that ends in .xml is JUnit's form, for a CI's own display.
    """
    if require is Demand.NON_INFERIOR and margin is None:
        raise typer.BadParameter("non-inferior needs --margin: the loss that would still be acceptable")
    paths = check_result_files(output, more=(".xml",))
    floors = [_floor(one) for one in fail_below or ()]
    from ftkit.evaluation import Report
    from ftkit.evaluation import compare as pair
    from ftkit.results.number_format import value_text

    found = pair(Report.load(before), Report.load(after), margin=margin, confidence=confidence, primary=primary)
    low = [(name, value, found[name or found.primary].after) for name, value in floors]
    save_result(found, paths)
    show(found)
    failed = [(name or found.primary, floor, value) for name, floor, value in low if value is None or value < floor]
    for name, floor, value in failed:
        unit = found[name].unit
        reached, wanted = value_text(value, unit), f"{floor * 100:g} %" if unit == "rate" else f"{floor:g}"
        fail(f"--fail-below is not met: {name} of {after} is {reached}, below {wanted}")
    if failed:
        raise typer.Exit(1)
    if require is not None and found.verdict not in _MET_BY[require]:
        fail(f"--require {require.value} is not met: the verdict is {found.verdict}")
        raise typer.Exit(1)


def _floor(given: str) -> tuple[str | None, float]:
    name, _, value = given.rpartition("=")
    try:
        floor = float(value)
    except ValueError:
        floor = math.nan
    if not math.isfinite(floor):  # nothing is below nan: the gate would let everything pass
        raise typer.BadParameter(f'"{given}" is no value, like 0.9 or field:age=0.9', param_hint="--fail-below")
    return name or None, floor
