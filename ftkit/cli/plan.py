"""``ftkit plan``: what a run would take, before it is started."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ftkit.cli.console import show
from ftkit.cli.data_options import (
    ChosenColumn,
    ColumnNames,
    Columns,
    DataFiles,
    FormatName,
    GroupColumn,
    IdColumn,
    MarginColumn,
    RejectedColumn,
    TargetColumn,
    TaskFile,
    read_task,
)
from ftkit.cli.recipe_options import AdapterKind, Assignments, RecipeFile

__all__ = ["plan"]


def plan(
    recipe: RecipeFile = None,
    *,
    data: DataFiles,
    backend: Annotated[
        list[str], typer.Option("--backend", metavar="NAME:MODEL", help="Where to train which model. Repeatable.")
    ],
    task: TaskFile = None,
    target: TargetColumn = None,
    chosen: ChosenColumn = None,
    rejected: RejectedColumn = None,
    margin: MarginColumn = None,
    validation: Annotated[
        list[Path] | None,
        typer.Option("--validation", metavar="FILE", help="Rows whose loss would be watched. May be given often."),
    ] = None,
    device: Annotated[
        str | None, typer.Option(metavar="GPU", help="Plan for this GPU, e.g. h100-80gb, not for this machine.")
    ] = None,
    adapter: AdapterKind = None,
    assignments: Assignments = None,
    lint: Annotated[
        bool, typer.Option("--lint/--no-lint", help="Refuse rows in which `ftkit lint` finds errors, as `train` does.")
    ] = True,
    json_: Annotated[bool, typer.Option("--json", help="All of it, for programs.")] = False,
    format_: FormatName = "auto",
    columns: ColumnNames = None,
    id_: IdColumn = None,
    group: GroupColumn = None,
) -> None:
    """Say what a run would take: memory, time, tokens.

    Reads the rows, the model's config and its tokenizer, never its weights. The status is 1 when there is no backend on
    which the run would fit.
    """
    from ftkit.cli.recipe_overrides import overridden
    from ftkit.planning import plan as make
    from ftkit.recipe import SFT, load_recipe

    changed = overridden(SFT() if recipe is None else load_recipe(recipe), assignments or [], adapter)
    known = read_task(task)
    reading = Columns(target, chosen, rejected, margin, format_, columns, id_, group)
    rows = reading.load(data, known)
    watched = reading.load(validation, known) if validation else None
    found = make(changed, rows, backend, validation=watched, device=device, lint=lint)
    if json_:
        typer.echo(found.model_dump_json(indent=2))
    else:
        show(found)
    if not found.fits:
        raise typer.Exit(1)
