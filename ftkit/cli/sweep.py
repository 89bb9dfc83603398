"""``ftkit sweep``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ftkit.cli.console import show
from ftkit.cli.data_options import (
    ColumnNames,
    Columns,
    DataFiles,
    FormatName,
    GroupColumn,
    IdColumn,
    TargetColumn,
    TaskFile,
    read_task,
)
from ftkit.cli.model_options import MaxOutputTokens, sampling_of
from ftkit.cli.output_files import ResultFiles, check_result_files, save_result
from ftkit.cli.recipe_options import AdapterKind, Assignments
from ftkit.errors import ConfigError

__all__ = ["sweep"]


def sweep(
    recipe: Annotated[
        list[Path] | None,
        typer.Argument(metavar="RECIPE…", help="Recipes (YAML). Default: supervised fine-tuning with LoRA."),
    ] = None,
    *,
    data: DataFiles,
    test: Annotated[list[Path], typer.Option("--test", metavar="FILE", help="File of held-out rows. Repeatable.")],
    backend: Annotated[
        list[str],
        typer.Option("--backend", metavar="NAME:MODEL", help="Backend and model, e.g. local:smollm2-135m. Repeatable."),
    ],
    grid: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FIELD=VALUES",
            help="Values of a field, with commas: learning_rate=1e-4,3e-4 or adapter.rank=8,16. Each combination is a "
            "trial. Repeatable.",
        ),
    ] = None,
    task: TaskFile = None,
    target: TargetColumn = None,
    validation: Annotated[
        list[Path] | None,
        typer.Option("--validation", metavar="FILE", help="File of validation rows. Repeatable."),
    ] = None,
    adapter: AdapterKind = None,
    assignments: Assignments = None,
    max_cost: Annotated[
        float | None,
        typer.Option(metavar="USD", min=0, help="Refuse, before anything starts, a sweep that costs more."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the sweep, to go on with it.")] = None,
    tracker: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Tracker of every run, as for `ftkit train`. Repeatable.")
    ] = None,
    lint: Annotated[
        bool, typer.Option("--lint/--no-lint", help="Refuse rows with errors found by `ftkit lint`.")
    ] = True,
    margin: Annotated[
        float | None, typer.Option(metavar="LOSS", help="Largest acceptable loss of quality, e.g. 0.02.")
    ] = None,
    max_output_tokens: MaxOutputTokens = None,
    output: ResultFiles = None,
    format_: FormatName = "auto",
    columns: ColumnNames = None,
    id_: IdColumn = None,
    group: GroupColumn = None,
) -> None:
    """Train several recipes, and compare their models.

    Each recipe is trained on each backend, and every model is evaluated on the same rows.

    Runs on this machine train one after another, runs at hosts side by side. After an interruption, the same command
    goes on. A recipe's file may have a section `grid` with lists of values, and a section `run` with trackers.
    """
    paths = check_result_files(output, "overview")
    from ftkit.cli.recipe_overrides import override_recipe
    from ftkit.evaluation import sweep as run_sweep
    from ftkit.recipe import SFT, Recipe, RecipeFile, expand_grid, load_recipe_file

    values = _grid(grid or [])
    trackers, recipes = list(tracker or ()), list[Recipe]()
    files = [load_recipe_file(path, ("run", "grid")) for path in recipe or ()] or [RecipeFile(SFT(), {}, {})]
    for file in files:
        recipes += expand_grid(override_recipe(file.recipe, assignments or [], adapter), file.grid | values)
        for key in file.run:
            if key != "trackers":
                raise ConfigError(f"run.{key} of a recipe is for `ftkit train`; a sweep names and tags its runs itself")
        trackers += file.run.get("trackers", [])
    task_ = read_task(task)
    reading = Columns(target=target, format=format_, columns=columns, id=id_, group=group)
    sampling = sampling_of(max_output_tokens, None, False)
    result = run_sweep(
        recipes,
        reading.load(data, task_),
        reading.load(test, task_),
        backends=backend,
        validation=reading.load(validation, task_) if validation else None,
        max_cost=max_cost,
        name=name,
        trackers=list(dict.fromkeys(trackers)),
        lint=lint,
        margin=margin,
        sampling=sampling,
    )
    save_result(result, paths)
    show(result)


def _grid(texts: list[str]) -> dict[str, list[Any]]:
    from ftkit.yaml_text import read_yaml_value

    grid: dict[str, list[Any]] = {}
    for text in texts:
        field, equals, values = text.partition("=")
        if not (field.strip() and equals and values.strip()):
            raise ConfigError(f"--grid {text}: write it as field=value,value, e.g. --grid learning_rate=1e-4,3e-4")
        if field.strip() in grid:
            raise ConfigError(f"--grid {text}: {field.strip()} has values already")
        listed = values if values.lstrip().startswith("[") else f"[{values}]"
        read = read_yaml_value(listed, f"--grid {field}")
        grid[field.strip()] = [_number(one) for one in read]
    return grid


def _number(value: Any) -> Any:
    """The value; YAML reads ``1e-4``, without a point, as a text."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value
