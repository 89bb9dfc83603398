"""Validate the rows of a job before it is queued, in a process of its own."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

from ftkit.backends import backend_of
from ftkit.data import Dataset
from ftkit.errors import DataError
from ftkit.recipe import RecipeFacts
from ftkit.server.jobs.event_messages import resolved_hyperparameters
from ftkit.server.jobs.job_record import JobRecord
from ftkit.server.jobs.recipe import job_recipe
from ftkit.server.jobs.training_rows import MAX_ERRORS, lint_rows, load_rows, refuse_rows
from ftkit.server.settings import Settings

__all__ = ["validate_rows"]


def validate_rows(settings: Settings, job: JobRecord, folder: Path) -> dict[str, Any]:
    """Read, lint and tokenise every row of a job.

    Args:
        settings: the server's settings.
        job: the job.
        folder: its rows.

    Returns:
        The job's hyperparameters with the values of ``"auto"``.

    Raises:
        InvalidFileError: a row is invalid; the message names the lines.
        FtkitError: the job cannot be trained for another reason.
    """
    files: dict[str, Dataset] = {}
    for role in ("training", "validation") if job.validation_file is not None else ("training",):
        files[role] = load_rows(folder, role, job)
        refuse_rows(role, files[role].check(), folder)
        lint_rows(role, files[role], backend_of(f"local:{job.source}"), folder)
    recipe = job_recipe(settings, job).resolve(RecipeFacts(rows=len(files["training"])))
    # Loads torch, as the tokenizer's library does; most of the server never needs it.
    from ftkit.training.row_check import RowCheck

    check = RowCheck(recipe, job.source, files["training"], files.get("validation"))
    for role, rows in files.items():
        problems: list[DataError] = [*islice(check.problems(rows), MAX_ERRORS + 1)]
        refuse_rows(role, problems, folder, more_unknown=len(problems) > MAX_ERRORS)
    return resolved_hyperparameters(job, recipe.model_dump())
