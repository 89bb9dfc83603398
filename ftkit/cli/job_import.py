"""``ftkit import``: what an account elsewhere holds, and how to run it somewhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ftkit.cli.console import aligned, note

__all__ = ["import_"]


def import_(
    provider: Annotated[str, typer.Argument(help="A backend with OpenAI's jobs API, e.g. openai.")],
    job: Annotated[str, typer.Argument(help="Id of a job, to write its rows, task and recipe.")] = "",
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for a job's files.")] = Path("imported"),
) -> None:
    """Bring the jobs of an account elsewhere home.

    Lists its tuned models with the days they have left; or writes what one job needs to run elsewhere.
    """
    from ftkit.backends.openai_jobs import OpenAIJobs
    from ftkit.backends.openai_jobs.job_import import import_job, tuned_models
    from ftkit.backends.registry import HOSTS
    from ftkit.catalog import days_until
    from ftkit.errors import ConfigError

    if provider not in HOSTS:
        raise ConfigError(f"nothing can be imported from {provider!r}, only from {', '.join(HOSTS.names())}")
    backend = OpenAIJobs("any", profile=provider)
    if job:
        for path in import_job(backend, job, output):
            typer.echo(str(path))
        note(f"run it elsewhere: ftkit train {output}/recipe.yaml --data {output}/training.jsonl --backend NAME:MODEL")
        return
    found = tuned_models(backend)
    if not found:
        note("the account has no tuned models")
        return
    rows = [
        (one.job, one.name, one.method, "" if one.stops is None else f"{one.stops} ({days_until(one.stops)} days)")
        for one in found
    ]
    for line in aligned([("JOB", "TUNED MODEL", "METHOD", "STOPS ANSWERING"), *rows]):
        typer.echo(line)
