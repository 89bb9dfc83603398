"""``ftkit freeze``: keep the answers of a model that will be switched off."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ftkit.cli.console import note, show
from ftkit.cli.data_options import (
    ColumnNames,
    Columns,
    DataFiles,
    FormatName,
    GroupColumn,
    IdColumn,
    TargetColumn,
    TaskFile,
)
from ftkit.cli.evaluation_options import Batched, RequestsPerMinute, asking_of
from ftkit.cli.model_options import (
    Label,
    Limit,
    MaxCost,
    MaxOutputTokens,
    ModelName,
    Temperature,
    model_of,
    sampling_of,
    say_cost,
)
from ftkit.cli.output_files import check_result_files, save_result

__all__ = ["freeze"]

_CONCURRENCY = 8


def freeze(
    model: ModelName,
    *,
    data: DataFiles,
    task: TaskFile = None,
    target: TargetColumn = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The baseline to write, a .json.")
    ] = Path("frozen.json"),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a baseline that is there.")] = False,
    limit: Limit = None,
    label: Label = None,
    max_cost: MaxCost = None,
    max_output_tokens: MaxOutputTokens = None,
    temperature: Temperature = None,
    concurrency: Annotated[
        int | None, typer.Option(metavar="N", min=1, help=f"Calls open at once [default: {_CONCURRENCY}]")
    ] = None,
    requests_per_minute: RequestsPerMinute = None,
    batch: Batched = False,
    format_: FormatName = "auto",
    columns: ColumnNames = None,
    id_: IdColumn = None,
    group: GroupColumn = None,
) -> None:
    """Record a model's answers as a baseline for when it is gone.

    The report holds every answer: `ftkit compare frozen.json new.json` needs the model no more. What it will cost is
    said first. Answers are kept as they come: after a kill the same command goes on, and no answer is paid twice. Give
    --task (or rows that hold whole conversations) and --target as you would to `ftkit evaluate`.
    """
    (path,) = check_result_files([output])
    if path.suffix.lower() != ".json":
        raise typer.BadParameter(f"{path}: only a .json keeps every answer", param_hint="-o")
    if path.exists() and not overwrite:
        raise typer.BadParameter(f"{path} is there already; name another, or add --overwrite", param_hint="-o")
    from ftkit.evaluation import estimate_cost, evaluate

    asked = model_of(model, task, False, sampling_of(max_output_tokens, temperature), conversations=True)
    rows = Columns(target, format=format_, columns=columns, id=id_, group=group).load(data, asked.task)
    if limit is not None:
        rows = rows.take(limit)
    say_cost(estimate_cost(asked, rows, batch=batch), max_cost)
    pace = asking_of(concurrency if batch else concurrency or _CONCURRENCY, requests_per_minute, batch)
    found = evaluate(asked, rows, asking=pace, label=label, probes=None)  # whose cost was not said
    save_result(found, [path])
    show(found)
    failed = sum(row.finish_reason == "error" for row in found.rows)
    if failed:
        note(
            f"{failed} of {len(found.rows)} rows could not be asked and count as wrong; the report says why. Freeze "
            "again with --overwrite to ask all rows anew"
        )
