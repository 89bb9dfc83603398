"""``ftkit data``: look at rows before they are used, and divide them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ftkit.cli.console import fail, note
from ftkit.cli.data_mask import mask
from ftkit.cli.data_options import (
    ChosenColumn,
    ColumnNames,
    Columns,
    Files,
    FormatName,
    GroupColumn,
    IdColumn,
    MarginColumn,
    RejectedColumn,
    TargetColumn,
    TaskFile,
    read_task,
)

if TYPE_CHECKING:
    from ftkit.data import Dataset, Row
    from ftkit.task import Message

__all__ = ["data"]

data = typer.Typer(no_args_is_help=True, help="Check rows, see what is learned of them, and divide them.")


@data.command()
def check(
    files: Files,
    *,
    task: TaskFile = None,
    target: TargetColumn = None,
    chosen: ChosenColumn = None,
    rejected: RejectedColumn = None,
    margin: MarginColumn = None,
    show: Annotated[int, typer.Option(metavar="N", min=0, help="Print the first N rows as the model sees them.")] = 0,
    format_: FormatName = "auto",
    columns: ColumnNames = None,
    id_: IdColumn = None,
    group: GroupColumn = None,
) -> None:
    """Read every row, and report what cannot be used.

    Each faulty row is a line with its file and line; the exit status is then 1. Without faults, counts are printed.
    """
    reading = Columns(target, chosen, rejected, margin, format_, columns, id_, group)
    rows = reading.load(files, read_task(task))
    problems = rows.check()
    for problem in problems:
        typer.echo(problem)
    if problems:
        fail(f"{len(problems):,} of {len(rows):,} rows cannot be used")
        raise typer.Exit(1)
    for line in _counts(rows):
        typer.echo(line)
    for row in rows.take(show):
        typer.echo(f"\n{_shown(row)}")


def _counts(rows: Dataset) -> list[str]:
    """How many rows of what kind there are, once they are known to be readable."""
    answers: Counter[str] = Counter()
    margins: list[float] = []
    groups: set[str] = set()
    ids: set[str] = set()
    answered = 0
    choices = rows.task.output.kind == "choice"
    for row in rows:
        answered += row.completion is not None
        ids.add(row.id)
        if row.margin is not None:
            margins.append(row.margin)
        if row.group is not None:
            groups.add(row.group)
        if choices and row.target is not None:
            answers[row.target] += 1
    what = "a chosen and a rejected answer" if rows.kind == "preferences" else "a wanted answer"
    lines = [f"{len(rows):,} rows, format {rows.format}, {answered:,} with {what}"]
    if margins:
        lines.append(f"{len(margins):,} margins, from {min(margins):g} to {max(margins):g}")
    again = len(rows) - len(ids)
    if again:
        lines.append(f"{again:,} rows have the id or the content of an earlier one")
    if groups:
        lines.append(f"{len(groups):,} groups")
    lines += [f"{count:>8,}  {answer}" for answer, count in answers.most_common()]
    return lines


def _shown(row: Row) -> str:
    """A row as the model sees it, its turns under their roles."""
    learned = "the wanted answer" if row.rejected is None else "the chosen answer"
    parts = [f"--- {row.place}  id {row.id}"]
    for message in row.messages:
        parts += _turn(message, learned if message is row.completion else "")
    if row.rejected is not None:
        parts += _turn(row.rejected, "the rejected answer")
    if row.margin is not None:
        parts.append(f"(margin {row.margin:g})")
    return "\n".join(parts)


def _turn(message: Message, what: str) -> list[str]:
    """A turn under its role, with ``what`` beside the role."""
    from ftkit.cli.console import json_line

    content = message.get("content")
    parts = [f"[{message['role']}]{f' ({what})' if what else ''}"]
    parts += [content if isinstance(content, str) else json_line(content)] if content is not None else []
    return parts + [json_line(call) for call in message.get("tool_calls") or []]


data.command()(mask)


@data.command()
def split(
    files: Files,
    *,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FOLDER", help="Where the parts are written.")],
    test: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Share of the rows such as 0.2, or their number.")
    ] = None,
    validation: Annotated[str | None, typer.Option(metavar="SIZE", help="Likewise.")] = None,
    group_by: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Rows with the same value stay on one side.")
    ] = None,
    stratify_by: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Each side gets each value in the same share.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Another seed gives another split.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace files that exist.")] = False,
) -> None:
    """Divide rows into files for training and for tests.

    Writes train.jsonl, test.jsonl and validation.jsonl, each row with all its columns. The same rows, sizes and seed
    give the same split, on every machine and in Python (Dataset.split).
    """
    from ftkit.cli.file_split import split_files

    sizes = {"test": _size(test, "--test"), "validation": _size(validation, "--validation")}
    wanted = {name: size for name, size in sizes.items() if size is not None}
    if not wanted:
        raise typer.BadParameter("give a size, e.g. --test 0.2", param_hint="--test")
    paths = {name: output / f"{name}.jsonl" for name in ("train", *wanted)}
    read = [file.resolve() for file in files]
    if itself := next((path for path in paths.values() if path.resolve() in read), None):
        raise typer.BadParameter(f"{itself} is a file to be divided; name another folder", param_hint="-o")
    there = [str(path) for path in paths.values() if path.exists()]
    if there and not force:
        names = ", ".join(there)
        raise typer.BadParameter(f"{names} would be overwritten; name another folder, or --force", param_hint="-o")
    counts = split_files(files, paths, wanted, group_by=group_by, stratify_by=stratify_by, seed=seed)
    for name, count in counts.items():
        note(f"{paths[name]}: {count:,} rows")


def _size(text: str | None, option: str) -> float | int | None:
    if text is None:
        return None
    try:
        return float(text) if "." in text else int(text)
    except ValueError:
        raise typer.BadParameter(f'"{text}" is neither a share (0.2) nor a number of rows', param_hint=option) from None
