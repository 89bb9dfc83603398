"""``ftkit plan``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ftkit.cli.console import out, show
from ftkit.cli.data_options import (
    ChosenColumn,
    ColumnNames,
    Columns,
    DataFiles,
    FormatName,
    GroupColumn,
    IdColumn,
    LabelColumn,
    MarginColumn,
    RejectedColumn,
    TargetColumn,
    TaskFile,
    read_task,
)
from ftkit.cli.output_files import ResultFiles, check_result_files, save_result
from ftkit.cli.recipe_options import AdapterKind, Assignments, RecipeFile

__all__ = ["plan"]


def plan(
    recipe: RecipeFile = None,
    *,
    data: DataFiles,
    backend: Annotated[
        list[str], typer.Option("--backend", metavar="NAME:MODEL", help="Backend and model. Repeatable.")
    ],
    task: TaskFile = None,
    target: TargetColumn = None,
    chosen: ChosenColumn = None,
    rejected: RejectedColumn = None,
    margin: MarginColumn = None,
    label: LabelColumn = None,
    validation: Annotated[
        list[Path] | None,
        typer.Option("--validation", metavar="FILE", help="File of validation rows. Repeatable."),
    ] = None,
    device: Annotated[
        str | None, typer.Option(metavar="GPU", help="Plan for this GPU, e.g. h100-80gb, instead of this machine.")
    ] = None,
    adapter: AdapterKind = None,
    assignments: Assignments = None,
    lint: Annotated[
        bool, typer.Option("--lint/--no-lint", help="Refuse rows with errors found by `ftkit lint`, as `train` does.")
    ] = True,
    json_: Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")] = False,
    output: ResultFiles = None,
    format_: FormatName = "auto",
    columns: ColumnNames = None,
    id_: IdColumn = None,
    group: GroupColumn = None,
) -> None:
    """Estimate the memory, time, tokens and cost of a run.

    Reads the rows and the model's config and tokenizer, but not its weights. The exit status is 1 if the run fits on
    none of the backends.
    """
    from ftkit.cli.recipe_overrides import override_recipe
    from ftkit.planning import plan as make_plan
    from ftkit.recipe import SFT, load_recipe

    paths = check_result_files(output, "plan")
    changed = override_recipe(SFT() if recipe is None else load_recipe(recipe), assignments or [], adapter)
    task_ = read_task(task)
    reading = Columns(target, chosen, rejected, margin, format_, columns, id_, group, label)
    rows = reading.load(data, task_)
    validation_rows = reading.load(validation, task_) if validation else None
    result = make_plan(changed, rows, backend, validation=validation_rows, device=device, lint=lint)
    if json_:
        out(result.model_dump_json(indent=2))
    else:
        show(result)
    save_result(result, paths)
    if not result.fits:
        raise typer.Exit(1)
