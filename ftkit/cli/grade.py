"""``ftkit grade`` and ``ftkit reward-signal``: what a grader says, before anything is trained by it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from ftkit.cli.console import fail, json_line, note
from ftkit.cli.data_options import ColumnNames, Columns, DataFiles, Files, FormatName, TargetColumn, TaskFile, read_task
from ftkit.cli.evaluation_options import AllowPython, Embedder, PythonIsolation, walls_of
from ftkit.cli.json_lines import placed_rows
from ftkit.cli.recipe_options import Assignments

__all__ = ["grade", "reward_signal"]


def grade(
    files: Files,
    *,
    grader: Annotated[Path, typer.Option(metavar="FILE", help="The grader (JSON or YAML).")],
    answer: Annotated[
        str, typer.Option(metavar="COLUMN", help="The column that holds the answer; what is no text is its JSON.")
    ] = "answer",
    allow_python: AllowPython = False,
    python_isolation: PythonIsolation = "kernel",
    embedder: Embedder = None,
    json_: Annotated[bool, typer.Option("--json", help="A JSON line for each answer.")] = False,
) -> None:
    """Grade answers that are there already.

    Files are JSON lines: a row and its answer, as `ftkit predict` gives answers. Graders read the other columns as
    `item`. The status is 1 when an answer could not be graded.
    """
    from ftkit.evaluation import grade as judge
    from ftkit.graders import load_grader

    known = load_grader(grader)
    rows = list(_rows(files, answer))
    said = [row.pop(answer) for row in rows]
    texts = [one if isinstance(one, str) else json_line(one) for one in said]
    walls = walls_of(python_isolation)
    found = judge(known, rows, texts, allow_python=allow_python, isolation=walls, embedder=embedder)
    if json_:
        for row, one in zip(rows, found, strict=True):
            line: dict[str, Any] = {"id": row["id"]} if "id" in row else {}
            line |= {"reward": one.reward}
            line |= {"parts": dict(one.parts)} if one.parts else {}
            typer.echo(json_line(line | ({"error": one.error, "detail": one.detail} if one.error else {})))
        note(str(found))
    else:
        typer.echo(str(found))
    if found.errors:
        fail(f"{sum(found.errors.values()):,} of {len(found):,} answers could not be graded")
        raise typer.Exit(1)


def reward_signal(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="The recipe (YAML), of kind rft.")],
    *,
    data: DataFiles,
    backend: Annotated[str, typer.Option(metavar="NAME:MODEL", help="The model as it is, e.g. local:smollm2-135m.")],
    task: TaskFile = None,
    target: TargetColumn = None,
    prompts: Annotated[int, typer.Option(min=1, help="How many prompts are asked.")] = 16,
    assignments: Assignments = None,
    json_: Annotated[bool, typer.Option("--json", help="All of it, for programs.")] = False,
    format_: FormatName = "auto",
    columns: ColumnNames = None,
) -> None:
    """Say whether there is anything to learn from rewards.

    The model answers a sample of the prompts, as a run would have it, and the recipe's grader judges. Nothing is
    trained. The status is 1 when nothing could be learned.
    """
    from ftkit.cli.recipe_overrides import overridden
    from ftkit.errors import ConfigError
    from ftkit.recipe import RFT, load_recipe
    from ftkit.runs import reward_signal as look

    changed = overridden(load_recipe(recipe), assignments or [], None)
    if not isinstance(changed, RFT):
        raise ConfigError(f"{recipe}: a recipe of kind rft has a grader; this one is {changed.kind}")
    rows = Columns(target, format=format_, columns=columns).load(data, read_task(task))
    found = look(changed, rows, backend=backend, prompts=prompts)
    typer.echo(found.model_dump_json(indent=2) if json_ else str(found))
    problem = found.problem(masks_truncated=changed.mask_truncated_completions)
    if problem is not None:
        fail(f"nothing can be learned: {problem}")
        raise typer.Exit(1)


def _rows(files: list[Path], answer: str) -> Iterator[dict[str, Any]]:
    from ftkit.errors import DataError

    for path in files:
        try:
            lines = path.read_bytes().splitlines(keepends=True)
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror}") from None
        for row, place in placed_rows(lines, str(path)):
            if answer not in row:
                raise DataError("the row has no answer; name its column with --answer", place=place, field=answer)
            yield row
