"""``ftkit convert``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ftkit.cli.console import note, show
from ftkit.cli.data_options import TaskFile, read_task
from ftkit.cli.model_options import Label
from ftkit.counts import counted, verb
from ftkit.named_files import irregular_file_kind

__all__ = ["convert"]


def convert(
    file: Annotated[Path, typer.Argument(help="Results of another tool, or a report (.json) of ftkit.")],
    *,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="File to write.")],
    to: Annotated[
        str,
        typer.Option(metavar="FORM", help="report, rows, task, promptfoo, inspect_ai or lm_eval, or a package's."),
    ] = "report",
    form: Annotated[str, typer.Option("--from", metavar="FORM", help="Form of FILE.", show_default=True)] = "auto",
    target: Annotated[
        str | None,
        typer.Option("--target", metavar="COLUMN", help="Column with the wanted answer, if FILE has several."),
    ] = None,
    task: TaskFile = None,
    label: Label = None,
    prompt: Annotated[
        int, typer.Option("--prompt", metavar="N", min=1, help="With --to task: which prompt of the configuration.")
    ] = 1,
    all_answers: Annotated[
        bool, typer.Option("--all-answers", help="With --to rows: also answers that are not right.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace existing files.")] = False,
) -> None:
    """Convert results between ftkit and other evaluation tools.

    Reads results of promptfoo, output items of OpenAI's Evals, logs of inspect_ai and samples of lm_eval as reports,
    and writes reports in these forms. --to task reads a configuration of promptfoo, and writes task.yaml and rows.jsonl
    into the folder OUTPUT. --to rows writes the answers as training rows. A file with several models gives
    one file for each, with a number in its name.
    """
    if to == "task":
        _config_to_task(file, output, force, prompt - 1)
        return
    from ftkit.evaluation import Report
    from ftkit.interchange import answers_as_rows, export_report, import_reports

    if form == "report" or (form == "auto" and _is_report(file)):
        reports = [Report.load(file)]
    else:
        reports = import_reports(file, form=form, target=target, task=read_task(task), label=label)
    paths = (
        [output]
        if len(reports) == 1
        else [output.with_name(f"{output.stem}-{count}{output.suffix}") for count in range(1, len(reports) + 1)]
    )
    existing = [str(path) for path in paths if path.exists()]
    if existing and not force:
        raise typer.BadParameter(f"{', '.join(existing)} exists; choose another file, or add --force", param_hint="-o")
    for report, path in zip(reports, paths, strict=True):
        if to == "report":
            report.save(path)
            show(report)
        elif to == "rows":
            rows = answers_as_rows(report, only_right=not all_answers)
            rows.write_openai(path)
            note(
                f"{len(rows):,} of {counted(len(report.rows), 'answer')} of {report.label} "
                f"{verb(len(rows), 'is a row', 'are rows')}"
            )
        else:
            export_report(report, path, form=to)
        note(f"wrote {path}")


def _is_report(file: Path) -> bool:
    """Say whether a file begins as ftkit's reports do."""
    try:
        if irregular_file_kind(file) is not None:  # a read of a pipe may never end
            return False
        with file.open("rb") as content:
            return b'"ftkit.report"' in content.read(4096)
    except OSError:
        return False


def _config_to_task(file: Path, folder: Path, force: bool, prompt: int) -> None:
    """Write the task and the rows of a configuration of promptfoo."""
    from ftkit.cli.console import json_line, out
    from ftkit.files import write_atomically
    from ftkit.interchange import import_promptfoo_config

    paths = [folder / "task.yaml", folder / "rows.jsonl"]
    existing = [str(path) for path in paths if path.exists()]
    if existing and not force:
        raise typer.BadParameter(
            f"{', '.join(existing)} exists; choose another folder, or add --force", param_hint="-o"
        )
    config = import_promptfoo_config(file, prompt=prompt)
    config.task.to_yaml(paths[0])
    write_atomically(paths[1], "".join(json_line(dict(row)) + "\n" for row in config.rows))
    for path in paths:
        out(str(path))
    for reason in config.left_out:
        note(f"not read: {reason}")
