"""``ftkit data traces`` and ``ftkit data stored``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from ftkit.cli.console import json_line, note, warn
from ftkit.cli.data_options import Files, FormatName
from ftkit.counts import counted

__all__ = ["stored", "traces"]

_Output = Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="File to write (.jsonl).")]
_Force = Annotated[bool, typer.Option("--force", help="Replace an existing file.")]


def traces(
    files: Files,
    *,
    output: _Output,
    format_: FormatName = "auto",
    model: Annotated[str | None, typer.Option(metavar="PATTERN", help='Only this model, e.g. "gpt-4.1*".')] = None,
    since: Annotated[str | None, typer.Option(metavar="DAY", help="Only calls from this day or time on (UTC).")] = None,
    until: Annotated[str | None, typer.Option(metavar="DAY", help="Only calls before this day or time (UTC).")] = None,
    min_score: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Only calls with at least this score. Repeatable.")
    ] = None,
    feedback: Annotated[
        str | None, typer.Option(metavar="good|bad", help="Only answers that users or graders found good, or bad.")
    ] = None,
    kto: Annotated[
        bool, typer.Option("--kto", help="Write prompt, completion and label, from feedback: rows for KTO.")
    ] = False,
    lint: Annotated[
        bool, typer.Option("--lint/--no-lint", help="Search the rows for secrets and personal data.")
    ] = True,
    force: _Force = False,
) -> None:
    """Make rows of the traces of models in use.

    Reads OpenTelemetry spans, and exports of Langfuse, LangSmith, LiteLLM and OpenAI's stored completions. Failed calls
    and calls without an answer are left out, and equal conversations become one row; what is left out is counted.
    Secrets and personal data are named before anything is sent, and the exit status is 1 if there are secrets.
    """
    from ftkit.data.trace_rows import TraceFilter, day_or_time, read_traces

    _check_output(output, force)
    if feedback not in (None, "good", "bad"):
        raise typer.BadParameter(f"{feedback}: expected good or bad", param_hint="--feedback")
    where = TraceFilter(
        model=model,
        since=None if since is None else day_or_time(since),
        until=None if until is None else day_or_time(until),
        scores=dict(_score(item) for item in min_score or ()),
        feedback=None if feedback is None else feedback == "good",
    )
    found = read_traces(list(files), format=format_, where=where, labels=kto)
    _write(output, [dict(row.columns) for row in found.rows])
    note(f"wrote {output}: {counted(len(found.rows), 'row')} of {found.format}")
    for reason, count in sorted(found.left_out.items()):
        note(f"{counted(count, 'call')} left out: {reason}")
    for problem in found.problems[:5]:
        note(str(problem))
    if lint and _secrets(output):
        raise typer.Exit(1)


def stored(
    provider: Annotated[str, typer.Argument(help="Host with OpenAI's API, e.g. openai.")] = "openai",
    *,
    output: _Output,
    model: Annotated[str | None, typer.Option(metavar="NAME", help="Only completions of this model.")] = None,
    limit: Annotated[int | None, typer.Option(metavar="N", min=1, help="At most this many, the newest first.")] = None,
    force: _Force = False,
) -> None:
    """Download an account's stored completions with their messages.

    The file is in the format openai_stored: `ftkit data traces` makes rows of it.
    """
    from ftkit.backends.openai_jobs import OpenAIJobs
    from ftkit.backends.openai_jobs.stored_completions import stored_completions
    from ftkit.files import atomic_writer

    _check_output(output, force)
    count = 0
    with atomic_writer(output) as file:
        for completion in stored_completions(OpenAIJobs("any", profile=provider), model=model, limit=limit):
            file.write((json_line(completion) + "\n").encode())
            count += 1
    note(f"wrote {output}: {count:,} completions")


def _check_output(path: Path, force: bool) -> None:
    if path.suffix.lower() != ".jsonl":
        raise typer.BadParameter(f"{path}: rows are written as .jsonl", param_hint="-o")
    if path.exists() and not force:
        raise typer.BadParameter(f"{path} already exists; choose another file, or add --force", param_hint="-o")


def _score(text: str) -> tuple[str, float]:
    name, _, value = text.rpartition("=")
    try:
        least = float(value)
        if name and not math.isnan(least):
            return name, least
    except ValueError:
        pass
    raise typer.BadParameter(f"{text}: expected NAME=VALUE, e.g. helpfulness=0.8", param_hint="--min-score")


def _write(path: Path, rows: list[dict[str, object]]) -> None:
    from ftkit.files import atomic_writer

    with atomic_writer(path) as file:
        for row in rows:
            file.write((json_line(row) + "\n").encode())


def _secrets(path: Path) -> bool:
    """Say which rows have secrets or personal data; return whether a finding is an error."""
    from ftkit.data import Dataset
    from ftkit.linting import lint

    report = lint(Dataset.load(path), select="S")
    for count in report.counts:
        if count.rows:
            warn(f"{counted(count.rows, 'row')}: {count.code} {count.name}: {count.summary}")
    for finding in report.findings[:20]:
        warn(f"{finding.place}: {finding.code}: {finding.message}")
    for skipped in report.skipped:
        warn(f"not searched: {skipped}")
    return not report.ok
