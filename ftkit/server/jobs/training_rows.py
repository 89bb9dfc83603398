"""The rows of a job: its own copy of the files, checked before the job is queued."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from ftkit.backends import Backend
from ftkit.data import Dataset
from ftkit.errors import ConfigError, DataError
from ftkit.linting.training_gate import refuse_errors
from ftkit.server.jobs.job_record import JobError, JobRecord, Method
from ftkit.server.state import State

__all__ = ["MAX_ERRORS", "InvalidFileError", "copy_rows", "job_rows", "lint_rows", "load_rows", "refuse_rows"]

_FORMATS: dict[Method, str] = {"supervised": "openai", "dpo": "openai_preference", "reinforcement": "openai_prompts"}
MAX_ERRORS = 5
"""Lines that a message names."""


class InvalidFileError(Exception):
    """A file whose rows cannot be used.

    Args:
        error: the job's error.
    """

    def __init__(self, error: JobError) -> None:
        super().__init__(error.message)
        self.error = error

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle it, as the process that validates rows raises it."""
        return type(self), (self.error,)


def copy_rows(content: Path, folder: Path, role: str) -> None:
    """Give a job its own copy of a file, as a hard link, so that the file may be deleted while the job trains.

    Args:
        content: the file.
        folder: the job's folder.
        role: ``"training"`` or ``"validation"``.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    target = _path(folder, role)
    try:
        os.link(content, target)
    except OSError:  # another disk, or a file system without hard links
        shutil.copyfile(content, target)


def job_rows(state: State, job: JobRecord) -> tuple[Dataset, Dataset | None]:
    """Load the rows of a job, which were validated before.

    Args:
        state: the server's tables.
        job: the job.

    Returns:
        The training rows and the validation rows, if any.

    Raises:
        InvalidFileError: a file cannot be read.
    """
    folder = state.job_folder(job.id)
    training = load_rows(folder, "training", job)
    return training, None if job.validation_file is None else load_rows(folder, "validation", job)


def load_rows(folder: Path, role: str, job: JobRecord) -> Dataset:
    """Load a file of a job.

    Args:
        folder: the job's folder.
        role: ``"training"`` or ``"validation"``.
        job: the job.

    Returns:
        The rows. They are read when they are used.

    Raises:
        InvalidFileError: the file cannot be read.
    """
    try:
        return Dataset.load(_path(folder, role), format=_FORMATS[job.method])
    except (DataError, ConfigError) as error:
        problem = error if isinstance(error, DataError) else DataError(str(error))
    raise _refused(role, [problem], folder, more_unknown=False)


def refuse_rows(role: str, problems: Sequence[DataError], folder: Path, *, more_unknown: bool = False) -> None:
    """Refuse a file that has invalid rows.

    Args:
        role: ``"training"`` or ``"validation"``.
        problems: what is wrong with rows of the file.
        folder: the job's folder.
        more_unknown: there are more problems, and nobody knows how many.

    Raises:
        InvalidFileError: there are problems; the message names the lines of the first ones.
    """
    if problems:
        raise _refused(role, problems, folder, more_unknown=more_unknown)


def lint_rows(role: str, rows: Dataset, backend: Backend, folder: Path) -> None:
    """Refuse a file in which the linter finds errors.

    Args:
        role: ``"training"`` or ``"validation"``.
        rows: the rows of the file.
        backend: the backend to train on.
        folder: the job's folder.

    Raises:
        InvalidFileError: the linter finds errors; the message names the lines of the first ones.
    """
    try:
        refuse_errors(rows, None, backend=backend)
    except DataError as error:
        reason = str(error).rpartition("\n")[0]  # without the last line, which advises callers of ft.train
    else:
        return
    raise InvalidFileError(_job_error(role, reason, folder))


def _refused(role: str, problems: Sequence[DataError], folder: Path, *, more_unknown: bool) -> InvalidFileError:
    lines = [_line(problem) for problem in problems[:MAX_ERRORS]]
    more = len(problems) - len(lines)
    if more_unknown:
        lines.append("… and more lines")
    elif more > 0:
        lines.append(f"… and {more:,} more lines")
    return InvalidFileError(_job_error(role, "Invalid file format. " + "; ".join(lines), folder))


def _line(problem: DataError) -> str:
    line = f"Line {problem.place.line}: " if problem.place else ""
    field = f"{problem.field}: " if problem.field else ""
    return f"{line}{field}{problem.message}"


def _job_error(role: str, reason: str, folder: Path) -> JobError:
    for name in ("training", "validation"):  # hide paths from clients
        reason = reason.replace(str(_path(folder, name)), f"The {name} file")
    message = f"The job failed due to an invalid {role} file. {reason}"
    return JobError(code=f"invalid_{role}_file", message=message, param=f"{role}_file")


def _path(folder: Path, role: str) -> Path:
    return folder / f"{role}.jsonl"
