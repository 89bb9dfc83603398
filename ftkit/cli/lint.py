"""``ftkit lint``: what is wrong with rows, before money is spent."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ftkit.cli.console import note, show
from ftkit.cli.data_options import (
    ChosenColumn,
    ColumnNames,
    Columns,
    GroupColumn,
    IdColumn,
    MarginColumn,
    RejectedColumn,
    TargetColumn,
    TaskFile,
    read_task,
)
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
        list[Path] | None, typer.Option("--test", metavar="FILE", help="Held-out rows: also looked for leakage.")
    ] = None,
    task: TaskFile = None,
    target: TargetColumn = None,
    chosen: ChosenColumn = None,
    rejected: RejectedColumn = None,
    margin: MarginColumn = None,
    backend: Annotated[
        list[str] | None,
        typer.Option("--backend", metavar="NAME:MODEL", help="Where the rows are to be trained. Repeatable."),
    ] = None,
    recipe: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The recipe (YAML): adds rules on epochs.")
    ] = None,
    select: Annotated[Codes, typer.Option(metavar="CODES", help="Only these rules: U, C001,D, key-order.")] = None,
    ignore: Annotated[Codes, typer.Option(metavar="CODES", help="Not these rules.")] = None,
    gradients: Annotated[
        int, typer.Option(metavar="N", min=0, help="Compare the gradients of the first N rows in a local: model.")
    ] = 0,
    fix: Annotated[bool, typer.Option("--fix", help="Write NAME.fixed.jsonl with what can be mended safely.")] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Show what --fix would change; write nothing.")] = False,
    statistics: Annotated[bool, typer.Option("--statistics", help="Only counts, rule by rule.")] = False,
    all_: Annotated[
        bool, typer.Option("--all", help="Every finding, not only the first five of each rule (up to 1,000 of each).")
    ] = False,
    format_: Annotated[
        str, typer.Option("--format", metavar="FORM", help="text, json, sarif, markdown or html.", show_default=True)
    ] = "text",
    output: Annotated[
        list[Path] | None,
        typer.Option("-o", "--output", metavar="FILE", help="Also write it: .json, .sarif, .md, .html or .txt."),
    ] = None,
    fail_on: Annotated[
        str | None, typer.Option(metavar="SEVERITY", help="error, warning or info. [default: warning]")
    ] = None,
    exit_zero: Annotated[bool, typer.Option("--exit-zero", help="Exit with 0, whatever was found.")] = False,
    explain: Annotated[str | None, typer.Option(metavar="CODE", help="Explain a rule and exit.")] = None,
    rules: Annotated[bool, typer.Option("--rules", help="List all rules and exit.")] = False,
    row_format: Annotated[
        str | None, typer.Option(metavar="NAME", help="The rows' format, as in `ftkit data check --format`.")
    ] = None,
    columns: ColumnNames = None,
    id_: IdColumn = None,
    group: GroupColumn = None,
) -> None:
    """Find what would make training on rows fail, mislead or waste.

    Exits with 1 when something as grave as --fail-on was found; with --diff, when there is something to mend. Defaults
    come from [tool.ftkit.lint] in pyproject.toml.
    """
    if explain is not None or rules:
        _tell(explain, format_)
        return
    if not files:
        raise typer.BadParameter("name the files to lint", param_hint="FILE")
    paths = check_result_files(output, more=(".sarif", ".txt"))
    from ftkit.linting import lint as look
    from ftkit.linting.config import load_lint_config
    from ftkit.recipe import load_recipe
    from ftkit.results.lint_report import LintReport

    if format_ not in LintReport.forms():
        raise typer.BadParameter(f'"{format_}" is none of {", ".join(LintReport.forms())}', param_hint="--format")
    known = load_lint_config()
    grave = _severity(fail_on or known.fail_on)
    asked = read_task(task or known.task)
    given = Columns(
        target or known.target,
        chosen or known.chosen,
        rejected or known.rejected,
        margin or known.margin,
        row_format or known.row_format,
        columns or [f"{name}={column}" for name, column in known.columns.items()],
        id_ or known.id,
        group or known.group,
    )
    train, held_out = _opened(given, files, asked), _opened(given, test, asked) if test else None
    chosen_codes, left_out = _split(select) or known.select, _split(ignore) or known.ignore
    if fix or diff:
        mended = _mend(train, chosen_codes, left_out, known, write=not diff)
        if diff:
            raise typer.Exit(1 if mended and not exit_zero else 0)
        # What is left to say is said of the mended files.
        train = _opened(given, [mended.get(str(file), file) for file in files], asked)
    report = look(
        train,
        held_out,
        backends=backend or known.backends,
        recipe=None if recipe is None else load_recipe(recipe),
        select=chosen_codes,
        ignore=left_out,
        ignore_rows=known.ignore_rows,
        gradients=gradients,
    )
    _print(report, format_, statistics=statistics, whole=all_)
    save_result(report, paths)
    if not exit_zero and _found(report, grave):
        raise typer.Exit(1)


def _tell(code: str | None, form: str) -> None:
    from ftkit.linting import find_rule, known_rules
    from ftkit.render.lint_rules import explained, rules_list, rules_page

    if code is not None:
        typer.echo(explained(find_rule(code)))
    elif form == "markdown":
        typer.echo(rules_page(known_rules().values()), nl=False)
    else:
        for line in rules_list(known_rules().values()):
            typer.echo(line)


def _opened(given: Columns, files: Sequence[Path], task: Task | None) -> Dataset:
    from dataclasses import replace

    from ftkit.linting.mixed_formats import open_for_lint

    return open_for_lint(lambda name: replace(given, format=name).load(files, task), given.format)


def _split(codes: Codes) -> list[str]:
    return [code.strip() for item in codes or () for code in item.split(",") if code.strip()]


def _severity(name: str) -> str:
    from ftkit.results.lint_report import SEVERITIES

    if name not in SEVERITIES:
        raise typer.BadParameter(f'"{name}" is none of {", ".join(SEVERITIES)}', param_hint="--fail-on")
    return name


def _mend(
    rows: Dataset, select: Sequence[str], ignore: Sequence[str], known: LintConfig, *, write: bool
) -> dict[str, Path]:
    """Show what is mended; of the files in which something is, the new ones by the names of the old."""
    from ftkit.linting.fixing import LineChange, fix
    from ftkit.linting.registry import select_rules

    def tell(name: str, change: LineChange) -> None:
        typer.echo(f"--- {name}\n+++ {name}\n@@ -{change.line} +{change.line} @@\n-{change.before}\n+{change.after}")

    codes = [rule.code for rule in select_rules(select, ignore)]
    made: dict[str, Path] = {}
    for done in fix(rows, codes=codes, ignore_rows=known.ignore_rows, write=write, on_change=tell):
        if done.note:
            note(f"{done.source}: {done.note}")
        elif not done.changes:
            note(f"{done.source}: nothing to mend")
        else:
            rows_mended = f"{done.changes:,} row{'' if done.changes == 1 else 's'}"
            note(f"wrote {done.target}: {rows_mended} mended" if write else f"{done.source}: {rows_mended} to mend")
        if done.target is not None:
            made[done.source] = done.target
    return made


def _print(report: LintReport, form: str, *, statistics: bool, whole: bool) -> None:
    from ftkit.render.lint import count_table, lint_rich

    if statistics:
        for line in count_table(report).lines() if report.counts else []:
            typer.echo(line)
    elif form == "text" and not whole:
        show(report)
    elif form == "text" and sys.stdout.isatty():
        show(lint_rich(report, None))
    else:
        typer.echo(report.form(form), nl=False)


def _found(report: LintReport, grave: str) -> bool:
    from ftkit.results.lint_report import SEVERITIES

    counted = SEVERITIES[: SEVERITIES.index(grave) + 1]
    return any(count.severity in counted for count in report.counts)
