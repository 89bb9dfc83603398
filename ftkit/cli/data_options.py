"""The options that say where rows are and how to read them, the same for every command."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ftkit.data import Dataset
    from ftkit.task import Task

__all__ = [
    "ChosenColumn",
    "ColumnNames",
    "Columns",
    "DataFiles",
    "Files",
    "FormatName",
    "GroupColumn",
    "IdColumn",
    "MarginColumn",
    "RejectedColumn",
    "TargetColumn",
    "TaskFile",
    "read_task",
]

DataFiles = Annotated[
    list[Path],
    typer.Option("--data", metavar="FILE", help="Rows: .jsonl, .json, .csv, .tsv or .parquet. May be given often."),
]
Files = Annotated[list[Path], typer.Argument(metavar="FILE", show_default=False)]
TaskFile = Annotated[
    Path | None, typer.Option("--task", metavar="FILE", help="The task, as `ftkit task` writes it (YAML).")
]
TargetColumn = Annotated[
    str | None, typer.Option("--target", metavar="COLUMN", help="The column that holds the wanted answer.")
]
ChosenColumn = Annotated[
    str | None,
    typer.Option("--chosen", metavar="COLUMN", help="Of preferences: the column that holds the better answer."),
]
RejectedColumn = Annotated[
    str | None, typer.Option("--rejected", metavar="COLUMN", help="Of preferences: that of the worse one.")
]
MarginColumn = Annotated[
    str | None, typer.Option("--margin", metavar="COLUMN", help="Of preferences: by how much one is better.")
]
FormatName = Annotated[
    str,
    typer.Option(
        "--format",
        metavar="NAME",
        help="auto, table, openai, trl_messages, prompt_completion, alpaca, sharegpt, openai_preference or "
        "trl_preference.",
        show_default=True,
    ),
]
ColumnNames = Annotated[
    list[str] | None,
    typer.Option(
        "--column", metavar="NAME=COLUMN", help="Which column of the file is read for one of the task's. Repeatable."
    ),
]
IdColumn = Annotated[
    str | None, typer.Option("--id", metavar="COLUMN", help="The column that identifies a row [default: id]")
]
GroupColumn = Annotated[
    str | None,
    typer.Option("--group", metavar="COLUMN", help="The column of what belongs together, e.g. a patient's rows."),
]


@dataclass(frozen=True, slots=True)
class Columns:
    """What the options say of the columns."""

    target: str | None = None
    chosen: str | None = None
    rejected: str | None = None
    margin: str | None = None
    format: str = "auto"
    columns: Sequence[str] | None = None
    id: str | None = None
    group: str | None = None

    def load(self, paths: Sequence[Path], task: Task | None) -> Dataset:
        """The rows of the files, seen through ``task``.

        Raises:
            DataError, ConfigError: see :meth:`ftkit.data.Dataset.load`.
        """
        from ftkit.data import Dataset

        return Dataset.load(
            list(paths),
            task,
            target=self.target,
            chosen=self.chosen,
            rejected=self.rejected,
            margin=self.margin,
            format=self.format,
            columns=self._mapping(),
            id=self.id,
            group=self.group,
        )

    def _mapping(self) -> dict[str, str] | None:
        pairs = [item.partition("=") for item in self.columns or ()]
        for name, equals, column in pairs:
            if not (name and equals and column):
                raise typer.BadParameter(f'{name}{equals}{column}: write it as "note=text"', param_hint="--column")
        return {name: column for name, _, column in pairs} or None


def read_task(path: Path | None) -> Task | None:
    """The task in the file, or ``None`` when none is named.

    Raises:
        ConfigError: the file cannot be read or holds no task.
    """
    if path is None:
        return None
    from ftkit.task import Task

    return Task.from_yaml(path)
