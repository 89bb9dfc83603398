"""``ftkit freeze``."""

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
from ftkit.cli.evaluation_options import Batched, RequestsPerMinute, request_options
from ftkit.cli.model_options import (
    Label,
    Limit,
    MaxCost,
    MaxOutputTokens,
    MaxReasoningTokens,
    ModelName,
    ReasoningEffort,
    Temperature,
    check_cost,
    load_model,
    sampling_of,
)
from ftkit.cli.output_files import check_result_files, save_result
from ftkit.counts import counted, verb

__all__ = ["freeze"]

_DEFAULT_CONCURRENCY = 8


def freeze(
    model: ModelName,
    *,
    data: DataFiles,
    task: TaskFile = None,
    target: TargetColumn = None,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Report to write (.json).")] = Path(
        "frozen.json"
    ),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing report.")] = False,
    limit: Limit = None,
    label: Label = None,
    max_cost: MaxCost = None,
    max_output_tokens: MaxOutputTokens = None,
    temperature: Temperature = None,
    reasoning_effort: ReasoningEffort = None,
    max_reasoning_tokens: MaxReasoningTokens = None,
    concurrency: Annotated[
        int | None, typer.Option(metavar="N", min=1, help=f"Concurrent requests [default: {_DEFAULT_CONCURRENCY}]")
    ] = None,
    requests_per_minute: RequestsPerMinute = None,
    batch: Batched = False,
    format_: FormatName = "auto",
    columns: ColumnNames = None,
    id_: IdColumn = None,
    group: GroupColumn = None,
) -> None:
    """Save a model's answers before it is shut down.

    The report contains every answer, so `ftkit compare frozen.json new.json` does not need the model. The estimated
    cost is printed first. Answers are saved as they arrive: if the command is stopped, run it again to continue, and no
    answer is paid for twice. --task and --target are the same as for `ftkit evaluate`.
    """
    (path,) = check_result_files([output], "report")
    if path.suffix.lower() != ".json":
        raise typer.BadParameter(f"{path}: the report must be .json, which contains every answer", param_hint="-o")
    if path.exists() and not overwrite:
        raise typer.BadParameter(f"{path} already exists; choose another file, or add --overwrite", param_hint="-o")
    from ftkit.evaluation import RequestOptions, estimate_cost
    from ftkit.evaluation.measurement import measured_report

    sampling = sampling_of(
        max_output_tokens, temperature, reasoning_effort=reasoning_effort, max_reasoning_tokens=max_reasoning_tokens
    )
    frozen = load_model(model, task, False, sampling, conversations=True)
    rows = Columns(target, format=format_, columns=columns, id=id_, group=group).load(data, frozen.task)
    if limit is not None:
        rows = rows.take(limit)
    check_cost(estimate_cost(frozen, rows, batch=batch), max_cost)
    requests = request_options(
        concurrency if batch else concurrency or _DEFAULT_CONCURRENCY, requests_per_minute, batch
    )
    # The kept answers are deleted after the block, so that a process that is killed always has them or the report.
    with measured_report(frozen, rows, options=requests or RequestOptions(), label=label) as (report, _):
        save_result(report, [path])
    show(report)
    failed = sum(row.finish_reason == "error" for row in report.rows)
    if failed:
        note(
            f"{failed} of {counted(len(report.rows), 'row')} failed and {verb(failed, 'counts', 'count')} as "
            "wrong; the report contains the "
            "reasons. Run the "
            "command again with --overwrite to ask only these rows again; the other answers are kept until then"
        )
