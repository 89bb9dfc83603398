"""``ftkit grade`` and ``ftkit reward-signal``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from ftkit.cli.console import fail, json_line, note, out
from ftkit.cli.data_options import ColumnNames, Columns, DataFiles, Files, FormatName, TargetColumn, TaskFile, read_task
from ftkit.cli.evaluation_options import AllowPython, Embedder, PythonIsolation, parse_isolation
from ftkit.cli.json_lines import placed_rows
from ftkit.cli.recipe_options import Assignments
from ftkit.counts import counted
from ftkit.named_files import read_small_bytes

__all__ = ["grade", "reward_signal"]

_MAX_BYTES = 2**30
"""Largest file of answers, which is read into memory."""


def grade(
    files: Files,
    *,
    grader: Annotated[Path, typer.Option(metavar="FILE", help="Grader (JSON or YAML).")],
    answer: Annotated[
        str, typer.Option(metavar="COLUMN", help="Column with the answer. Values that are not text are graded as JSON.")
    ] = "answer",
    allow_python: AllowPython = False,
    python_isolation: PythonIsolation = "kernel",
    embedder: Embedder = None,
    json_: Annotated[bool, typer.Option("--json", help="Print a JSON line for each answer.")] = False,
) -> None:
    """Grade existing answers.

    Files are JSON lines, each with a row and its answer, as `ftkit predict` prints answers. Graders read the other
    columns as `item`. The exit status is 1 if an answer could not be graded.
    """
    from ftkit.evaluation import grade as grade_answers
    from ftkit.graders import load_grader

    loaded = load_grader(grader)
    rows = list(_rows(files, answer))
    answers = [row.pop(answer) for row in rows]
    texts = [value if isinstance(value, str) else json_line(value) for value in answers]
    isolation = parse_isolation(python_isolation)
    grades = grade_answers(loaded, rows, texts, allow_python=allow_python, isolation=isolation, embedder=embedder)
    if json_:
        for row, grade_ in zip(rows, grades, strict=True):
            line: dict[str, Any] = {"id": row["id"]} if "id" in row else {}
            line |= {"reward": grade_.reward}
            line |= {"parts": dict(grade_.parts)} if grade_.parts else {}
            out(json_line(line | ({"error": grade_.error, "detail": grade_.detail} if grade_.error else {})))
        note(str(grades))
    else:
        out(str(grades))
    if grades.errors:
        fail(f"{sum(grades.errors.values()):,} of {counted(len(grades), 'answer')} could not be graded")
        raise typer.Exit(1)


def reward_signal(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="Recipe (YAML) of kind rft.")],
    *,
    data: DataFiles,
    backend: Annotated[str, typer.Option(metavar="NAME:MODEL", help="Model before training, e.g. local:smollm2-135m.")],
    task: TaskFile = None,
    target: TargetColumn = None,
    prompts: Annotated[int, typer.Option(min=1, help="Number of prompts.")] = 16,
    assignments: Assignments = None,
    json_: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    format_: FormatName = "auto",
    columns: ColumnNames = None,
) -> None:
    """Check whether the rewards of a recipe give a signal.

    The model answers a sample of the prompts as in a run, and the recipe's grader grades the answers. Nothing is
    trained. The exit status is 1 if there is no signal.
    """
    from ftkit.cli.recipe_overrides import override_recipe
    from ftkit.errors import ConfigError
    from ftkit.recipe import RFT, load_recipe
    from ftkit.runs import reward_signal as measure_signal

    changed = override_recipe(load_recipe(recipe), assignments or [], None)
    if not isinstance(changed, RFT):
        raise ConfigError(f"{recipe}: expected a recipe of kind rft, not {changed.kind}")
    rows = Columns(target, format=format_, columns=columns).load(data, read_task(task))
    signal = measure_signal(changed, rows, backend=backend, prompts=prompts)
    out(signal.model_dump_json(indent=2) if json_ else str(signal))
    problem = signal.problem(masks_truncated=changed.mask_truncated_completions)
    if problem is not None:
        fail(f"there is no signal to learn from: {problem}")
        raise typer.Exit(1)


def _rows(files: list[Path], answer: str) -> Iterator[dict[str, Any]]:
    from ftkit.errors import DataError

    for path in files:
        try:
            lines = read_small_bytes(path, limit=_MAX_BYTES).splitlines(keepends=True)
        except OSError as error:
            raise DataError(f"{path}: cannot read the file: {error.strerror}") from None
        for row, place in placed_rows(lines, str(path)):
            if answer not in row:
                raise DataError(
                    "the row has no answer; name the answer's column with --answer", place=place, field=answer
                )
            yield row
