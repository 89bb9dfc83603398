"""``ftkit runs list``, ``plot``, ``annotate`` and ``delete``."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ftkit.cli.console import duration, json_text, note, out, show, table_lines
from ftkit.cli.run_details import polled_record
from ftkit.counts import counted
from ftkit.errors import ConfigError

if TYPE_CHECKING:
    from ftkit.results.metric_table import MetricTable
    from ftkit.store import RunRecord

__all__ = ["Sort", "Where", "annotate", "delete", "list_", "plot"]

Where = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        metavar="CONDITION",
        help="Only runs that meet it, e.g. state=succeeded, learning_rate>=1e-4, adapter.rank=8, score>0.9, "
        "tag=baseline, name~visits. Repeatable.",
    ),
]
Sort = Annotated[
    str | None, typer.Option("--sort", metavar="COLUMN", help="Sort by a column; -score puts the largest first.")
]

_COLOURS = {"queued": "yellow", "running": "cyan", "succeeded": "green", "failed": "red", "cancelled": "yellow"}
_COLUMNS = (
    ("NAME", "name"), ("TAGS", "tags"), ("RANK", "rank"), ("LR", "learning_rate"), ("LOSS", "loss"),
    ("VALIDATION", "validation_loss"), ("REWARD", "reward"), ("SCORE", "score"),
)  # fmt: skip
"""Columns that the list has where a run has a value for them."""


def list_(
    *,
    where: Where = None,
    sort: Sort = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List runs with their last losses and scores.

    The newest comes first; learning rates and ranks are columns too. The score is the headline metric of the last
    evaluation of the run's model.
    """
    records = _polled_records()
    table = _table(list(records.values()), where, sort)
    if json:
        facts = ("name", "tags", "rank", "learning_rate", "loss", "validation_loss", "reward", "score", "metric")
        out(
            json_text(
                [records[row["id"]].model_dump(mode="json") | {name: row[name] for name in facts} for row in table]
            )
        )
        return
    if not table:
        note("no run meets the conditions" if records else "no runs yet; start one with `ftkit train`")
        return
    shown = [(title, name) for title, name in _COLUMNS if any(row[name] not in (None, []) for row in table)]
    columns = ["ID", "STATE", "MODEL", "ADAPTER", "ROWS", *(title for title, _ in shown), "STARTED", "TOOK"]
    header, *lines = table_lines(columns, [_cells(row, [name for _, name in shown]) for row in table])
    out(header)
    for row, line in zip(table, lines, strict=True):
        out(line, colours={row["state"]: _COLOURS[records[row["id"]].state]})


def _polled_records() -> dict[str, RunRecord]:
    """The records of all runs by id, newest first. What cannot be read, or asked for, is said."""
    from ftkit.runs import all as all_runs
    from ftkit.store import StoreWarning

    with warnings.catch_warnings(record=True) as problems:
        warnings.simplefilter("always", StoreWarning)
        records = [polled_record(run) for run in all_runs()]
    for problem in problems:
        if issubclass(problem.category, StoreWarning):
            note(f"warning: {problem.message}")
        else:
            warnings.showwarning(problem.message, problem.category, problem.filename, problem.lineno)
    return {record.id: record for record in records}


def _table(records: list[RunRecord], where: list[str] | None, sort: str | None) -> MetricTable:
    from ftkit.runs.run_table import run_table, sorted_rows
    from ftkit.store import Store

    table = run_table(records, Store(), where or ())
    return table if sort is None or not table else sorted_rows(table, sort)


def _cells(row: dict[str, Any], names: list[str]) -> tuple[str, ...]:
    return (
        row["id"],
        row["state"],
        f"{row['backend']}:{row['model']}",
        row["adapter"] or "",
        f"{row['rows']:,}",
        *(_cell(row[name]) for name in names),
        row["started"],
        "" if row["seconds"] is None else duration(row["seconds"]),
    )


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    return ",".join(value) if isinstance(value, list) else str(value)


def plot(
    run_ids: Annotated[
        list[str], typer.Argument(metavar="ID…", help="Ids of runs, or unique prefixes.", show_default=False)
    ],
    *,
    metric: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Metric to draw, e.g. loss, learning_rate, grad_norm. Repeatable."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write .svg, .html, .txt or .json.")
    ] = None,
) -> None:
    """Draw the metrics of runs by step.

    Training and validation, several runs together.
    """
    from ftkit.runs import plot as plot_runs

    curves = plot_runs(*run_ids, metrics=metric or ())
    if output is None:
        show(curves)
        return
    note(f"wrote {curves.save(output)}")


def annotate(
    run_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the run, or a unique prefix.", show_default=False)],
    *,
    name: Annotated[str | None, typer.Option(help="New name; an empty one removes it.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="New tags, in place of the old ones. Repeatable.")] = None,
    notes: Annotated[str | None, typer.Option(help="New notes; empty ones remove them.")] = None,
) -> None:
    """Change the name, the tags or the notes of a run."""
    from ftkit.runs import get

    run = get(run_id).annotate(name=name, tags=tag, notes=notes)
    note(f"run {run.id}: name {run.name or 'none'}, tags {', '.join(run.tags) or 'none'}, notes {run.notes or 'none'}")


def delete(
    run_ids: Annotated[
        list[str] | None, typer.Argument(metavar="ID…", help="Complete ids of runs.", show_default=False)
    ] = None,
    *,
    where: Where = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
) -> None:
    """Delete runs with their models and files.

    Those that are named, or those that meet conditions.

    A run must have ended. This cannot be undone.
    """
    from ftkit.runs import delete as delete_runs
    from ftkit.store import OPEN_STATES

    if bool(run_ids) == bool(where):
        raise ConfigError("name the runs to delete, or give conditions: `ftkit runs delete --where state=failed`")
    if where:
        records = _polled_records()
        table = _table(list(records.values()), where, None)
        found = [(row["id"], row["state"]) for row in table if records[row["id"]].state not in OPEN_STATES]
        if not found:
            note("no run that has ended meets the conditions")
            return
    else:
        found = [_named(run_id) for run_id in dict.fromkeys(run_ids or ())]
    if not yes and sys.stdin.isatty():
        listed = ", ".join(f"{run_id} ({state})" for run_id, state in found)
        typer.confirm(f"Delete {listed} and all their files?", abort=True, err=True)
    elif where and not yes:
        raise ConfigError(f"--where would delete {counted(len(found), 'run')}; confirm with --yes")
    delete_runs(*(run_id for run_id, _ in found))
    for run_id, _ in found:
        note(f"deleted run {run_id}")


def _named(run_id: str) -> tuple[str, str]:
    """The complete id of a run and its state."""
    from ftkit.runs import get
    from ftkit.store import UnreadableRunError

    try:
        run = get(run_id)
    except UnreadableRunError as error:
        note(f"warning: {error}")
        return run_id, "unreadable"
    if run.id != run_id:
        raise ConfigError(f"to delete a run, give its complete id: {run.id}")
    return run.id, run.stored_record.state  # its host may not answer, and need not
