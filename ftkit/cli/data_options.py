"""Options of the rows: files, task, columns and format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ftkit.cli.format_names import FORMAT_NAMES

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
    "LabelColumn",
    "MarginColumn",
    "RejectedColumn",
    "TargetColumn",
    "TaskFile",
    "read_task",
]

DataFiles = Annotated[
    list[Path],
    typer.Option("--data", metavar="FILE", help="File of rows: .jsonl, .json, .csv, .tsv or .parquet. Repeatable."),
]
Files = Annotated[list[Path], typer.Argument(metavar="FILE", show_default=False)]
TaskFile = Annotated[
    Path | None, typer.Option("--task", metavar="FILE", help="Task (YAML), as written by `ftkit task`.")
]
TargetColumn = Annotated[str | None, typer.Option("--target", metavar="COLUMN", help="Column with the target answer.")]
ChosenColumn = Annotated[
    str | None,
    typer.Option("--chosen", metavar="COLUMN", help="Preferences: column with the chosen answer."),
]
RejectedColumn = Annotated[
    str | None, typer.Option("--rejected", metavar="COLUMN", help="Preferences: column with the rejected answer.")
]
MarginColumn = Annotated[
    str | None, typer.Option("--margin", metavar="COLUMN", help="Preferences: column with the margin between both.")
]
LabelColumn = Annotated[
    str | None,
    typer.Option("--label", metavar="COLUMN", help="For KTO: column that says whether the answer is a good one."),
]
FormatName = Annotated[
    str,
    typer.Option(
        "--format",
        metavar="NAME",
        help=f"Format of the rows: auto, {FORMAT_NAMES}.",
        show_default=True,
    ),
]
ColumnNames = Annotated[
    list[str] | None,
    typer.Option(
        "--column", metavar="NAME=COLUMN", help="Read a column of the task from another column of the file. Repeatable."
    ),
]
IdColumn = Annotated[
    str | None, typer.Option("--id", metavar="COLUMN", help="Column that identifies a row [default: id]")
]
GroupColumn = Annotated[
    str | None,
    typer.Option(
        "--group", metavar="COLUMN", help="Column whose value is the same for related rows, e.g. a patient's."
    ),
]


@dataclass(frozen=True, slots=True)
class Columns:
    """The values of the column options."""

    target: str | None = None
    chosen: str | None = None
    rejected: str | None = None
    margin: str | None = None
    format: str = "auto"
    columns: Sequence[str] | None = None
    id: str | None = None
    group: str | None = None
    label: str | None = None

    def load(self, paths: Sequence[Path], task: Task | None) -> Dataset:
        """Load the rows of the files with :meth:`ftkit.data.Dataset.load`."""
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
            label=self.label,
        )

    def _mapping(self) -> dict[str, str] | None:
        pairs = [item.partition("=") for item in self.columns or ()]
        for name, equals, column in pairs:
            if not (name and equals and column):
                raise typer.BadParameter(
                    f"{name}{equals}{column}: expected NAME=COLUMN, e.g. note=text", param_hint="--column"
                )
        return {name: column for name, _, column in pairs} or None


def read_task(path: Path | None) -> Task | None:
    """Read a task from a file; None without a file.

    Raises:
        ConfigError: the file cannot be read or is not a task.
    """
    if path is None:
        return None
    from ftkit.task import Task

    return Task.from_yaml(path)
