"""The rows of a job: its own copy of the files, checked before the job is queued."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from ftkit.backends import backend_of
from ftkit.data import Dataset
from ftkit.errors import ConfigError, DataError
from ftkit.linting.training_gate import refuse_errors
from ftkit.server.jobs.job_record import JobError, JobRecord, Method
from ftkit.server.state import State

__all__ = ["InvalidFileError", "copy_rows", "job_rows"]

_FORMATS: dict[Method, str] = {"supervised": "openai", "dpo": "openai_preference", "reinforcement": "openai_prompts"}
_MAX_ERRORS = 5


class InvalidFileError(Exception):
    """A file whose rows cannot be used.

    Args:
        error: the job's error.
    """

    def __init__(self, error: JobError) -> None:
        super().__init__(error.message)
        self.error = error


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


def job_rows(state: State, job: JobRecord, *, check: bool) -> tuple[Dataset, Dataset | None]:
    """Load the rows of a job.

    Args:
        state: the server's tables.
        job: the job.
        check: read every row, and refuse a file that has an invalid one.

    Returns:
        The training rows and the validation rows, if any.

    Raises:
        InvalidFileError: a row is invalid; the message names the lines.
    """
    folder = state.job_folder(job.id)
    training = _load(folder, "training", job, check=check)
    validation = None if job.validation_file is None else _load(folder, "validation", job, check=check)
    if check:
        try:
            refuse_errors(training, validation, backend=backend_of(f"local:{job.source}"))
        except DataError as error:
            reason = str(error).rpartition("\n")[0]  # without the last line, which advises callers of ft.train
            raise InvalidFileError(_job_error("training", reason, folder)) from None
    return training, validation


def _load(folder: Path, role: str, job: JobRecord, *, check: bool) -> Dataset:
    try:
        data = Dataset.load(_path(folder, role), format=_FORMATS[job.method])
        problems = data.check() if check else []
    except (DataError, ConfigError) as error:
        problems = [error if isinstance(error, DataError) else DataError(str(error))]
    if not problems:
        return data
    lines = [_line(problem) for problem in problems[:_MAX_ERRORS]]
    more = len(problems) - len(lines)
    lines += [f"… and {more:,} more lines"] if more > 0 else []
    raise InvalidFileError(_job_error(role, "Invalid file format. " + "; ".join(lines), folder))


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
