"""``ftkit data``: check and split."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ftkit.cli.console import fail, note, out
from ftkit.cli.data_mask import mask
from ftkit.cli.data_options import (
    ChosenColumn,
    ColumnNames,
    Columns,
    Files,
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
from ftkit.cli.data_traces import stored, traces
from ftkit.cli.option_names import error_with_options
from ftkit.counts import counted, verb

if TYPE_CHECKING:
    from ftkit.data import Dataset, Row
    from ftkit.task import Message

__all__ = ["data"]

data = typer.Typer(no_args_is_help=True, help="Check rows, show their training tokens, and split them.")


@data.command()
def check(
    files: Files,
    *,
    task: TaskFile = None,
    target: TargetColumn = None,
    chosen: ChosenColumn = None,
    rejected: RejectedColumn = None,
    margin: MarginColumn = None,
    label: LabelColumn = None,
    show: Annotated[int, typer.Option(metavar="N", min=0, help="Print the first N rows as messages.")] = 0,
    format_: FormatName = "auto",
    columns: ColumnNames = None,
    id_: IdColumn = None,
    group: GroupColumn = None,
) -> None:
    """Read every row and report the rows that cannot be used.

    Each invalid row is printed with its file and line, and the exit status is 1. If all rows are valid, their counts
    are printed.
    """
    reading = Columns(target, chosen, rejected, margin, format_, columns, id_, group, label)
    rows = reading.load(files, read_task(task))
    problems = rows.check()
    for problem in problems:
        out(error_with_options(problem))
    if problems:
        fail(f"{len(problems):,} of {counted(len(rows), 'row')} cannot be used")
        raise typer.Exit(1)
    for line in _counts(rows):
        out(line)
    for row in rows.take(show):
        out(f"\n{_format_row(row)}")


_PROMPTS = (
    "the rows are prompts: they have no answers, so RFT trains on them and SFT does not. If they should have answers, "
    "add the answer as the last message, or name its column with --target"
)


def _counts(rows: Dataset) -> list[str]:
    """Return lines with the counts of valid rows."""
    from ftkit.data.unread_columns import describe_unread_columns

    answers: Counter[str] = Counter()
    margins: list[float] = []
    groups: set[str] = set()
    ids: set[str] = set()
    answered = labelled = 0
    has_choices = rows.task.output.kind == "choice"
    for row in rows:
        answered += row.completion is not None
        ids.add(row.id)
        labelled += row.label is not None
        if row.margin is not None:
            margins.append(row.margin)
        if row.group is not None:
            groups.add(row.group)
        if has_choices and row.target is not None:
            answers[row.target] += 1
    if rows.kind == "unpaired_preferences":
        lines = [
            f"{counted(len(rows), 'row')}, format {rows.format}, {answered:,} labelled as good answers and "
            f"{len(rows) - answered:,} as bad ones (for KTO)"
        ]
    elif rows.kind == "texts":
        lines = [f"{counted(len(rows), 'row')}, format {rows.format}, each a plain text (for continued pre-training)"]
    else:
        content = "a chosen and a rejected answer" if rows.kind == "preferences" else "a target answer"
        lines = [f"{counted(len(rows), 'row')}, format {rows.format}, {answered:,} with {content}"]
    if margins:
        lines.append(f"{len(margins):,} margins, from {min(margins):g} to {max(margins):g}")
    duplicates = len(rows) - len(ids)
    if duplicates:
        lines.append(
            f"{counted(duplicates, 'row')} {verb(duplicates, 'has', 'have')} the id or the content of an earlier row"
        )
    if groups:
        lines.append(f"{counted(len(groups), 'group')}")
    unread = rows.unread_columns()
    if unread:
        lines.append(describe_unread_columns(unread))
    if rows.kind == "prompts" and rows.format != "table":
        lines.append(_PROMPTS)
    if labelled and rows.kind != "unpaired_preferences":
        lines.append(
            f"{counted(labelled, 'row')} {verb(labelled, 'says', 'say')} whether the answer is a good one. "
            "KTO needs that of every row, and as a "
            "demonstration such a row is refused"
        )
    lines += [f"{count:>8,}  {answer}" for answer, count in answers.most_common()]
    return lines


def _format_row(row: Row) -> str:
    """Format a row as messages."""
    label = "target answer" if row.rejected is None else "chosen answer"
    worse = "rejected answer"
    if row.label is not None:
        label, worse = "good answer", "bad answer"
    parts = [f"--- {row.place}  id {row.id}"]
    if row.text is not None:
        parts.append(row.text)
    for message in row.messages:
        parts += _format_message(message, label if message is row.completion else "")
    if row.rejected is not None:
        parts += _format_message(row.rejected, worse)
    if row.margin is not None:
        parts.append(f"(margin {row.margin:g})")
    return "\n".join(parts)


def _format_message(message: Message, label: str) -> list[str]:
    """Format a message below its role and a label."""
    from ftkit.cli.console import json_line

    content = message.get("content")
    parts = [f"[{message['role']}]{f' ({label})' if label else ''}"]
    parts += [content if isinstance(content, str) else json_line(content)] if content is not None else []
    return parts + [json_line(call) for call in message.get("tool_calls") or []]


data.command()(mask)
data.command()(traces)
data.command()(stored)


@data.command()
def split(
    files: Files,
    *,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FOLDER", help="Folder for the parts.")],
    test: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Share of the rows, e.g. 0.2, or number of rows.")
    ] = None,
    validation: Annotated[str | None, typer.Option(metavar="SIZE", help="Share or number of validation rows.")] = None,
    group_by: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Keep rows with the same value in the same part.")
    ] = None,
    stratify_by: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Give each part the same share of each value.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the split.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace existing files.")] = False,
) -> None:
    """Split rows into training, test and validation files.

    Rows are written with all columns to train.jsonl, test.jsonl and validation.jsonl. The same rows, sizes and seed
    give the same split on every machine and in Python (Dataset.split).
    """
    from ftkit.cli.file_split import split_files

    sizes = {"test": _size(test, "--test"), "validation": _size(validation, "--validation")}
    requested = {name: size for name, size in sizes.items() if size is not None}
    if not requested:
        raise typer.BadParameter("give a size, e.g. --test 0.2", param_hint="--test")
    paths = {name: output / f"{name}.jsonl" for name in ("train", *requested)}
    read = [file.resolve() for file in files]
    if overlap := next((path for path in paths.values() if path.resolve() in read), None):
        raise typer.BadParameter(f"{overlap} is an input file; choose another folder", param_hint="-o")
    existing = [str(path) for path in paths.values() if path.exists()]
    if existing and not force:
        names = ", ".join(existing)
        raise typer.BadParameter(
            f"{names} would be overwritten; choose another folder, or add --force", param_hint="-o"
        )
    counts = split_files(files, paths, requested, group_by=group_by, stratify_by=stratify_by, seed=seed)
    for name, count in counts.items():
        note(f"{paths[name]}: {counted(count, 'row')}")


def _size(text: str | None, option: str) -> float | int | None:
    if text is None:
        return None
    try:
        return float(text) if "." in text else int(text)
    except ValueError:
        raise typer.BadParameter(f'"{text}" is not a share (e.g. 0.2) or a number of rows', param_hint=option) from None
