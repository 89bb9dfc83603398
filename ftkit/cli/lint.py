"""``ftkit lint``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ftkit.cli.console import note, out, show
from ftkit.cli.data_options import (
    ChosenColumn,
    ColumnNames,
    Columns,
    GroupColumn,
    IdColumn,
    LabelColumn,
    MarginColumn,
    RejectedColumn,
    TargetColumn,
    TaskFile,
    read_task,
)
from ftkit.cli.format_names import FORMAT_NAMES
from ftkit.cli.output_files import check_result_files, save_result

if TYPE_CHECKING:
    from ftkit.data import Dataset
    from ftkit.linting import LintReport
    from ftkit.linting.config import LintConfig
    from ftkit.task import Task

__all__ = ["lint"]

Codes = list[str] | None


def lint(
    files: Annotated[list[Path] | None, typer.Argument(metavar="FILE", show_default=False)] = None,
    *,
    test: Annotated[
        list[Path] | None,
        typer.Option("--test", metavar="FILE", help="File of held-out rows, to find leakage. Repeatable."),
    ] = None,
    task: TaskFile = None,
    target: TargetColumn = None,
    chosen: ChosenColumn = None,
    rejected: RejectedColumn = None,
    margin: MarginColumn = None,
    label: LabelColumn = None,
    backend: Annotated[
        list[str] | None,
        typer.Option(
            "--backend", metavar="NAME:MODEL", help="Backend and model that will train on the rows. Repeatable."
        ),
    ] = None,
    recipe: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Recipe (YAML), for the rules about epochs.")
    ] = None,
    select: Annotated[Codes, typer.Option(metavar="CODES", help="Rules to check, e.g. U, C001,D or key-order.")] = None,
    ignore: Annotated[Codes, typer.Option(metavar="CODES", help="Rules to skip.")] = None,
    gradients: Annotated[
        int, typer.Option(metavar="N", min=0, help="Compare the gradients of the first N rows in a local model.")
    ] = 0,
    rule_seconds: Annotated[
        float, typer.Option(metavar="S", help="Time of each rule; one that needs more reads a sample.")
    ] = 20.0,
    fix: Annotated[bool, typer.Option("--fix", help="Write NAME.fixed.jsonl with all safe fixes.")] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Show what --fix would change, without writing.")] = False,
    statistics: Annotated[bool, typer.Option("--statistics", help="Print only the counts of each rule.")] = False,
    all_: Annotated[
        bool, typer.Option("--all", help="Print up to 1,000 findings of each rule instead of five.")
    ] = False,
    format_: Annotated[
        str,
        typer.Option(
            "--format", metavar="FORM", help="Output format: text, json, sarif, markdown or html.", show_default=True
        ),
    ] = "text",
    output: Annotated[
        list[Path] | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="Also write the report to FILE: .json, .sarif, .md, .html or .txt. Repeatable.",
        ),
    ] = None,
    fail_on: Annotated[
        str | None,
        typer.Option(metavar="SEVERITY", help="Lowest severity that fails: error, warning or info [default: warning]"),
    ] = None,
    exit_zero: Annotated[bool, typer.Option("--exit-zero", help="Exit with status 0 in any case.")] = False,
    explain: Annotated[str | None, typer.Option(metavar="CODE", help="Explain a rule and exit.")] = None,
    rules: Annotated[bool, typer.Option("--rules", help="List all rules and exit.")] = False,
    row_format: Annotated[
        str | None, typer.Option(metavar="NAME", help=f"Format of the rows: auto, {FORMAT_NAMES}.")
    ] = None,
    columns: ColumnNames = None,
    id_: IdColumn = None,
    group: GroupColumn = None,
) -> None:
    """Find problems in rows before training on them.

    The exit status is 1 if there is a finding of the severity --fail-on or higher, and with --diff if there is
    something to fix. Defaults can be set in [tool.ftkit.lint] of pyproject.toml.
    """
    if explain is not None or rules:
        _print_rules(explain, format_)
        return
    if not files:
        raise typer.BadParameter("give the files to lint", param_hint="FILE")
    paths = check_result_files(output, "lint")
    from ftkit.linting import lint as run_lint
    from ftkit.linting.config import load_lint_config
    from ftkit.recipe import load_recipe
    from ftkit.results.lint_report import LintReport

    if format_ not in LintReport.forms():
        raise typer.BadParameter(f'"{format_}" is not one of {", ".join(LintReport.forms())}', param_hint="--format")
    config = load_lint_config()
    threshold = _severity(fail_on or config.fail_on)
    task_ = read_task(task or config.task)
    reading = Columns(
        target or config.target,
        chosen or config.chosen,
        rejected or config.rejected,
        margin or config.margin,
        row_format or config.row_format,
        columns or [f"{name}={column}" for name, column in config.columns.items()],
        id_ or config.id,
        group or config.group,
        label or config.label,
    )
    train, held_out = _load(reading, files, task_), _load(reading, test, task_) if test else None
    selected, ignored = _split(select) or config.select, _split(ignore) or config.ignore
    if fix or diff:
        fixed = _fix(train, selected, ignored, config, write=not diff)
        if diff:
            raise typer.Exit(1 if fixed and not exit_zero else 0)
        # Report what is left in the fixed files.
        train = _load(reading, [fixed.get(str(file), file) for file in files], task_)
    report = run_lint(
        train,
        held_out,
        backends=backend or config.backends,
        recipe=None if recipe is None else load_recipe(recipe),
        select=selected,
        ignore=ignored,
        ignore_rows=config.ignore_rows,
        gradients=gradients,
        rule_seconds=rule_seconds,
    )
    _print(report, format_, statistics=statistics, show_all=all_)
    save_result(report, paths)
    if not exit_zero and _fails(report, threshold):
        raise typer.Exit(1)


def _print_rules(code: str | None, form: str) -> None:
    from ftkit.linting import find_rule, known_rules
    from ftkit.render.lint_rules import explain_rule, rules_list, rules_page

    if code is not None:
        out(explain_rule(find_rule(code)))
    elif form == "markdown":
        out(rules_page(known_rules().values()), nl=False)
    else:
        for line in rules_list(known_rules().values()):
            out(line)


def _load(reading: Columns, files: Sequence[Path], task: Task | None) -> Dataset:
    from dataclasses import replace

    from ftkit.linting.mixed_formats import open_for_lint

    return open_for_lint(lambda name: replace(reading, format=name).load(files, task), reading.format)


def _split(codes: Codes) -> list[str]:
    return [code.strip() for item in codes or () for code in item.split(",") if code.strip()]


def _severity(name: str) -> str:
    from ftkit.results.lint_report import SEVERITIES

    if name not in SEVERITIES:
        raise typer.BadParameter(f'"{name}" is not one of {", ".join(SEVERITIES)}', param_hint="--fail-on")
    return name


def _fix(
    rows: Dataset, select: Sequence[str], ignore: Sequence[str], config: LintConfig, *, write: bool
) -> dict[str, Path]:
    """Print the fixes; return the fixed files by the names of the originals."""
    from ftkit.linting.fixing.file_edits import LineChange, fix
    from ftkit.linting.registry import select_rules

    def print_change(name: str, change: LineChange) -> None:
        out(f"--- {name}\n+++ {name}\n@@ -{change.line} +{change.line} @@\n-{change.before}\n+{change.after}")

    codes = [rule.code for rule in select_rules(select, ignore)]
    written: dict[str, Path] = {}
    for result in fix(rows, codes=codes, ignore_rows=config.ignore_rows, write=write, on_change=print_change):
        if result.note:
            note(f"{result.source}: {result.note}")
        elif not result.changes:
            note(f"{result.source}: nothing to fix")
        else:
            count = f"{result.changes:,} row{'' if result.changes == 1 else 's'}"
            note(f"wrote {result.target}: {count} fixed" if write else f"{result.source}: {count} to fix")
        if result.target is not None:
            written[result.source] = result.target
    return written


def _print(report: LintReport, form: str, *, statistics: bool, show_all: bool) -> None:
    from ftkit.render.lint import count_table, lint_rich

    if statistics:
        for line in count_table(report).lines() if report.counts else []:
            out(line)
    elif form == "text" and not show_all:
        show(report)
    elif form == "text" and sys.stdout.isatty():
        show(lint_rich(report, None))
    else:
        out(report.form(form), nl=False)


def _fails(report: LintReport, threshold: str) -> bool:
    from ftkit.results.lint_report import SEVERITIES

    counted = SEVERITIES[: SEVERITIES.index(threshold) + 1]
    return any(count.severity in counted for count in report.counts)
