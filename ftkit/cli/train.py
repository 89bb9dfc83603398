"""``ftkit train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ftkit.cli.console import note, out
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
from ftkit.cli.model_options import ChatTemplateFile
from ftkit.cli.recipe_options import AdapterKind, Assignments, RecipeFile

__all__ = ["train"]


def train(
    recipe: RecipeFile = None,
    *,
    data: DataFiles,
    backend: Annotated[str, typer.Option(metavar="NAME:MODEL", help="Backend and model, e.g. local:smollm2-135m.")],
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
    adapter: AdapterKind = None,
    assignments: Assignments = None,
    lint: Annotated[
        bool, typer.Option("--lint/--no-lint", help="Refuse rows with errors found by `ftkit lint`.")
    ] = True,
    max_cost: Annotated[
        float | None,
        typer.Option(metavar="USD", help="Refuse training that costs more, or whose price is unknown."),
    ] = None,
    tracker: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Send the run's metrics to a tracker: trackio, wandb, mlflow, tensorboard, jsonl, with a project, "
            "experiment, folder or file after a colon. Repeatable.",
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the run, for lists and trackers.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="Tag of the run. Repeatable.")] = None,
    notes: Annotated[str | None, typer.Option(help="Notes on the run.")] = None,
    chat_template: ChatTemplateFile = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Return at once; the run continues in the background.")
    ] = False,
    format_: FormatName = "auto",
    columns: ColumnNames = None,
    id_: IdColumn = None,
    group: GroupColumn = None,
) -> None:
    """Train a model and show the progress.

    Only the id of the run is printed to standard output. The run is a separate process: it continues after Ctrl-C, and
    `ftkit runs wait ID` shows its progress again.
    """
    from ftkit.cli.recipe_overrides import override_recipe
    from ftkit.cli.run_progress import wait_for
    from ftkit.recipe import SFT, load_recipe_file
    from ftkit.runs import train as start_run

    file = None if recipe is None else load_recipe_file(recipe, ("run",))
    written = {} if file is None else file.run
    changed = override_recipe(SFT() if file is None else file.recipe, assignments or [], adapter)
    task_ = read_task(task)
    reading = Columns(target, chosen, rejected, margin, format_, columns, id_, group, label)
    rows = reading.load(data, task_)
    validation_rows = reading.load(validation, task_) if validation else None
    run = start_run(
        changed,
        rows,
        backend=backend,
        validation=validation_rows,
        lint=lint,
        max_cost=max_cost,
        name=written.get("name") if name is None else name,
        tags=[*written.get("tags", ()), *(tag or ())],
        notes=written.get("notes") if notes is None else notes,
        trackers=[*written.get("trackers", ()), *(tracker or ())],
        chat_template=chat_template,
    )
    out(run.id)
    if detach:
        note(f"run {run.id} continues in the background; wait for it with `ftkit runs wait {run.id}`")
    else:
        wait_for(run)
