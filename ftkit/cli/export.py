"""``ftkit export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from ftkit.cli.console import note, out
from ftkit.cli.data_options import (
    ColumnNames,
    Columns,
    FormatName,
    GroupColumn,
    IdColumn,
    TargetColumn,
    TaskFile,
)
from ftkit.cli.model_options import ModelName, OtherTask, load_model

if TYPE_CHECKING:
    from ftkit.exporting.export_result import Base, Dtype, Form

__all__ = ["export"]


def export(
    model: ModelName,
    *,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FOLDER", help="Folder to create.")],
    to: Annotated[
        str,
        typer.Option(
            metavar="FORM",
            help="merged (a complete model), adapter (PEFT's format), ollama (a model and a Modelfile) or gguf.",
        ),
    ] = "merged",
    data: Annotated[
        list[Path] | None,
        typer.Option(
            "--data",
            metavar="FILE",
            help="Rows for the comparison [default: the run's validation rows, else its training rows]. Repeatable.",
        ),
    ] = None,
    replay_rows: Annotated[
        int, typer.Option(metavar="N", min=1, help="Maximum number of rows for the comparison.")
    ] = 16,
    dtype: Annotated[
        str, typer.Option(metavar="TYPE", help="Type of the weights, or of an adapter's base: bf16, fp16 or fp32.")
    ] = "bf16",
    base: Annotated[
        str,
        typer.Option(metavar="BASE", help="Base weights of a QLoRA model: quantised (as in training) or original."),
    ] = "quantised",
    max_kl: Annotated[
        float | None,
        typer.Option(metavar="NATS", min=0, help="Maximum mean KL divergence per token [default: 0.01]"),
    ] = None,
    max_clear_changes: Annotated[
        float,
        typer.Option(
            metavar="SHARE", min=0, max=1, help="Maximum share of clear tokens whose most likely token changes."
        ),
    ] = 0.0,
    max_output_tokens: Annotated[
        int, typer.Option(metavar="N", min=1, help="Maximum length of compared answers in tokens.")
    ] = 128,
    quantize: Annotated[
        list[str] | None,
        typer.Option(metavar="TYPE", help="With --to gguf, a quantised file as well, e.g. q4_k_m. Repeatable."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing export.")] = False,
    task: TaskFile = None,
    other_task: OtherTask = False,
    target: TargetColumn = None,
    format_: FormatName = "auto",
    columns: ColumnNames = None,
    id_: IdColumn = None,
    group: GroupColumn = None,
) -> None:
    """Export a local model and verify the exported files.

    The files are loaded with plain transformers and compared with ftkit's own model on held-out prompts. If they
    differ, the exit status is 1 and nothing is left in the folder.
    """
    from ftkit.exporting import export as export_model
    from ftkit.exporting.drift_limits import MAX_KL

    exported = load_model(model, task, other_task, None)
    reading = Columns(target=target, format=format_, columns=columns, id=id_, group=group)
    rows = reading.load(data, exported.task) if data else None
    result = export_model(
        exported,
        output,
        cast("Form", to),
        replay=rows,
        replay_rows=replay_rows,
        dtype=cast("Dtype", dtype),
        base=cast("Base", base),
        max_kl=MAX_KL if max_kl is None else max_kl,
        max_clear_changes=max_clear_changes,
        max_output_tokens=max_output_tokens,
        quantize=quantize or (),
        overwrite=force,
        progress=note,
    )
    out(str(result))
