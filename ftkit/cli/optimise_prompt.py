"""``ftkit optimise-prompt``."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated, Any

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
)
from ftkit.cli.evaluation_options import (
    AllowPython,
    AsOf,
    ComparatorNames,
    Concurrency,
    InputUsd,
    OutputUsd,
    PriceSource,
    RequestsPerMinute,
    load_graders,
    parse_comparators,
    parse_prices,
    request_options,
)
from ftkit.cli.model_options import (
    MaxOutputTokens,
    MaxReasoningTokens,
    ModelName,
    ReasoningEffort,
    Temperature,
    sampling_of,
)
from ftkit.cli.output_files import check_result_files, save_result

__all__ = ["optimise_prompt"]


def optimise_prompt(
    model: ModelName,
    *,
    data: DataFiles,
    task: Annotated[
        Path,
        typer.Option(metavar="FILE", help="Task (YAML) with an input template, whose prompt is improved."),
    ],
    target: TargetColumn = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Task to write (.yaml); its record is beside it.")
    ] = Path("optimised.yaml"),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing task.")] = False,
    metric: Annotated[
        str, typer.Option(metavar="NAME", help="What to optimise [default: the accuracy of the task's output]")
    ] = "auto",
    grader: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Grader (.json, .yaml) whose grade is optimised instead.")
    ] = None,
    allow_python: AllowPython = False,
    comparator: ComparatorNames = None,
    reflection: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Model that writes instructions [default: MODEL itself]")
    ] = None,
    rounds: Annotated[int, typer.Option(metavar="N", min=1, help="Number of proposals.")] = 12,
    shots: Annotated[
        int, typer.Option(metavar="N", min=0, help="Examples in a prompt that has some; 0: instructions only.")
    ] = 4,
    choosing: Annotated[int, typer.Option(metavar="N", min=1, help="Rows that candidates are compared on.")] = 40,
    held_out: Annotated[int, typer.Option(metavar="N", min=1, help="Rows that only the result is measured on.")] = 60,
    max_cost: Annotated[
        float | None,
        typer.Option(metavar="USD", min=0, help="The most that may be paid; models at hosts need it."),
    ] = None,
    input_usd: InputUsd = None,
    output_usd: OutputUsd = None,
    price_source: PriceSource = None,
    price_date: AsOf = None,
    folder: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Keep all answers here, so that more rounds pay for none twice."),
    ] = None,
    max_output_tokens: MaxOutputTokens = None,
    temperature: Temperature = None,
    reasoning_effort: ReasoningEffort = None,
    max_reasoning_tokens: MaxReasoningTokens = None,
    concurrency: Concurrency = None,
    requests_per_minute: RequestsPerMinute = None,
    seed: Annotated[int, typer.Option(help="Seed of the split and of the search.")] = 0,
    format_: FormatName = "auto",
    columns: ColumnNames = None,
    id_: IdColumn = None,
    group: GroupColumn = None,
) -> None:
    """Find a better prompt for a task, on its training rows.

    A reflection model reads wrong answers and writes new instructions; examples are drawn from the rows. Candidates are
    compared on rows of their own, and the result is measured on rows that no choice has seen. The most that it can
    cost is printed first. If the command is stopped, run it again: no answer is paid for twice.
    """
    if output.suffix.lower() not in (".yaml", ".yml"):
        raise typer.BadParameter(f"{output}: the task must be .yaml", param_hint="-o")
    record = output.with_suffix(".record.json")
    for path in (output, record):
        if path.exists() and not overwrite:
            raise typer.BadParameter(f"{path} already exists; choose another file, or add --overwrite", param_hint="-o")
    if grader is not None and metric != "auto":
        raise typer.BadParameter("give one of --metric and --grader")
    check_result_files([record], "prompt_record")
    from ftkit.evaluation import optimise_prompt as search
    from ftkit.model import Model
    from ftkit.task import Task

    task_ = Task.from_yaml(task)
    sampling = sampling_of(
        max_output_tokens, temperature, reasoning_effort=reasoning_effort, max_reasoning_tokens=max_reasoning_tokens
    )
    rows = Columns(target, format=format_, columns=columns, id=id_, group=group).load(data, task_)
    scored: Any = metric
    if grader is not None:
        (scored, *_) = load_graders([grader], allow_python, "kernel", None)
    kept = folder or output.with_suffix(".answers")
    found = search(
        task_,
        Model(model, task_, sampling=sampling, other_task=True),
        rows,
        scored,
        max_cost=max_cost,
        reflection=reflection,
        rounds=rounds,
        shots=shots,
        choosing=choosing,
        held_out=held_out,
        comparators=parse_comparators(comparator),
        asking=request_options(concurrency, requests_per_minute, False),
        prices=parse_prices(input_usd, output_usd, price_source, price_date),
        folder=kept,
        seed=seed,
        on_step=note,
    )
    save_result(found.record, [record])
    found.to_yaml(output)
    show(found.record)
    note(f"wrote {output}")
    if folder is None and found.record.after is not None:  # not before the result is saved
        shutil.rmtree(kept, ignore_errors=True)
