"""``ftkit import``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ftkit.cli.console import note, out, table_lines
from ftkit.counts import verb

__all__ = ["import_"]


def import_(
    provider: Annotated[str, typer.Argument(help="Backend with OpenAI's jobs API, e.g. openai.")],
    job: Annotated[str, typer.Argument(help="Id of a job. Without it, list the fine-tuned models.")] = "",
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the job's files.")] = Path("imported"),
    force: Annotated[bool, typer.Option("--force", help="Replace existing files.")] = False,
) -> None:
    """Import fine-tuning jobs from a hosted account.

    Without JOB, list the account's fine-tuned models and their shutdown dates. With JOB, write the job's rows, task and
    recipe, to train the model on another backend.
    """
    from ftkit.backends.openai_jobs import OpenAIJobs
    from ftkit.backends.openai_jobs.job_import import JOB_FILES, import_job, tuned_models
    from ftkit.backends.registry import HOSTS
    from ftkit.catalog import days_until
    from ftkit.errors import ConfigError

    if provider not in HOSTS:
        raise ConfigError(f"cannot import from {provider!r}, only from {', '.join(HOSTS.names())}")
    backend = OpenAIJobs("any", profile=provider)
    if job:
        existing = [name for name in JOB_FILES if (output / name).exists()]
        if existing and not force:
            there = f"{', '.join(str(output / name) for name in existing)} {verb(len(existing), 'exists', 'exist')}"
            raise typer.BadParameter(f"{there}; choose another folder, or add --force", param_hint="-o")
        for path in import_job(backend, job, output):
            out(str(path))
        note(f"train it with: ftkit train {output}/recipe.yaml --data {output}/training.jsonl --backend NAME:MODEL")
        return
    models = tuned_models(backend)
    if not models:
        note("the account has no fine-tuned models")
        return
    rows = [
        (
            model.job,
            model.name,
            model.method,
            "" if model.stops is None else f"{model.stops} ({days_until(model.stops)} days)",
        )
        for model in models
    ]
    for line in table_lines(("JOB", "TUNED MODEL", "METHOD", "SHUTDOWN"), rows):
        out(line)
