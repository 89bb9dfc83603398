"""``ftkit export``: a tuned model as files that other servers take, replayed from those files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from ftkit.cli.console import note
from ftkit.cli.data_options import (
    ColumnNames,
    Columns,
    FormatName,
    GroupColumn,
    IdColumn,
    TargetColumn,
    TaskFile,
)
from ftkit.cli.model_options import ModelName, OtherTask, model_of

if TYPE_CHECKING:
    from ftkit.exporting.export_result import Base, Dtype, Form

__all__ = ["export"]


def export(
    model: ModelName,
    *,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FOLDER", help="Where to write it; must not be there yet.")
    ],
    to: Annotated[
        str,
        typer.Option(
            metavar="FORM", help="merged (a whole model), adapter (PEFT's layout) or ollama (a model and a Modelfile)."
        ),
    ] = "merged",
    data: Annotated[
        list[Path] | None,
        typer.Option(
            "--data",
            metavar="FILE",
            help="Rows to replay [default: the run's validation rows, else its training rows]. May be given often.",
        ),
    ] = None,
    replay_rows: Annotated[int, typer.Option(metavar="N", min=1, help="Replay at most so many rows.")] = 16,
    dtype: Annotated[
        str, typer.Option(metavar="TYPE", help="bf16, fp16 or fp32: type of the weights, or of an adapter's base.")
    ] = "bf16",
    base: Annotated[
        str,
        typer.Option(
            metavar="BASE", help="Of a QLoRA model: quantised (what training saw) or original (the weights before)."
        ),
    ] = "quantised",
    max_kl: Annotated[
        float | None,
        typer.Option(metavar="NATS", min=0, help="The largest mean drift a token that passes [default: 0.01]"),
    ] = None,
    max_clear_changes: Annotated[
        float,
        typer.Option(
            metavar="SHARE", min=0, max=1, help="Share of clear tokens at which another may be the likeliest."
        ),
    ] = 0.0,
    max_output_tokens: Annotated[
        int, typer.Option(metavar="N", min=1, help="Replayed answers are cut there, in tokens.")
    ] = 128,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier export in the folder.")] = False,
    task: TaskFile = None,
    other_task: OtherTask = False,
    target: TargetColumn = None,
    format_: FormatName = "auto",
    columns: ColumnNames = None,
    id_: IdColumn = None,
    group: GroupColumn = None,
) -> None:
    """Export a local model; the files are proved to answer alike.

    The files are loaded again by plain transformers and asked held-out prompts. When they drift from what ftkit serves,
    the status is 1 and nothing is left in the folder.
    """
    from ftkit.exporting import export as write
    from ftkit.exporting.drift_limits import MAX_KL

    asked = model_of(model, task, other_task, None)
    reading = Columns(target=target, format=format_, columns=columns, id=id_, group=group)
    rows = reading.load(data, asked.task) if data else None
    made = write(
        asked,
        output,
        cast("Form", to),
        replay=rows,
        replay_rows=replay_rows,
        dtype=cast("Dtype", dtype),
        base=cast("Base", base),
        max_kl=MAX_KL if max_kl is None else max_kl,
        max_clear_changes=max_clear_changes,
        max_output_tokens=max_output_tokens,
        overwrite=force,
        progress=note,
    )
    typer.echo(str(made))
