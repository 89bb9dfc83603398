"""``ftkit train``: start a run, and watch it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ftkit.cli.console import note
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

__all__ = ["train"]


def train(
    recipe: RecipeFile = None,
    *,
    data: DataFiles,
    backend: Annotated[
        str, typer.Option(metavar="NAME:MODEL", help="Where to train which model, e.g. local:smollm2-135m.")
    ],
    task: TaskFile = None,
    target: TargetColumn = None,
    chosen: ChosenColumn = None,
    rejected: RejectedColumn = None,
    margin: MarginColumn = None,
    validation: Annotated[
        list[Path] | None,
        typer.Option("--validation", metavar="FILE", help="Rows whose loss is watched. May be given often."),
    ] = None,
    adapter: AdapterKind = None,
    assignments: Assignments = None,
    lint: Annotated[
        bool, typer.Option("--lint/--no-lint", help="Refuse rows in which `ftkit lint` finds errors.")
    ] = True,
    max_cost: Annotated[
        float | None,
        typer.Option(metavar="USD", help="Refuse training that would cost more, or whose price is not known."),
    ] = None,
    tracker: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Send the run's events to a tracker, e.g. jsonl:events.jsonl. May be given often."
        ),
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Come back at once; the run goes on.")] = False,
    format_: FormatName = "auto",
    columns: ColumnNames = None,
    id_: IdColumn = None,
    group: GroupColumn = None,
) -> None:
    """Train a model, with its progress.

    Prints the id of the run, and nothing else, to standard output. The run is a process of its own: after Ctrl-C it
    goes on, and `ftkit runs wait ID` finds it again.
    """
    from ftkit.cli.recipe_overrides import overridden
    from ftkit.cli.run_progress import wait_for
    from ftkit.recipe import SFT, load_recipe
    from ftkit.runs import train as start

    changed = overridden(SFT() if recipe is None else load_recipe(recipe), assignments or [], adapter)
    known = read_task(task)
    reading = Columns(target, chosen, rejected, margin, format_, columns, id_, group)
    rows = reading.load(data, known)
    watched = reading.load(validation, known) if validation else None
    run = start(
        changed, rows, backend=backend, validation=watched, lint=lint, max_cost=max_cost, trackers=tracker or ()
    )
    typer.echo(run.id)
    if detach:
        note(f"run {run.id} goes on by itself; watch it with `ftkit runs wait {run.id}`")
    else:
        wait_for(run)
