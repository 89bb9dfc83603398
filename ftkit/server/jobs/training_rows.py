"""The rows of a job: its own copy of the files, checked before it waits for its turn."""

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
_TOLD = 5


class InvalidFileError(Exception):
    """Rows that cannot be trained on."""

    def __init__(self, error: JobError) -> None:
        super().__init__(error.message)
        self.error = error


def copy_rows(content: Path, folder: Path, role: str) -> None:
    """Give a job its own copy of a file, which costs no room: the file may be deleted while it trains.

    Args:
        role: ``"training"`` or ``"validation"``.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    target = _path(folder, role)
    try:
        os.link(content, target)
    except OSError:  # another disk, or one without links
        shutil.copyfile(content, target)


def job_rows(state: State, job: JobRecord, *, check: bool) -> tuple[Dataset, Dataset | None]:
    """The training rows of a job, and those that are watched.

    Args:
        check: read every row, and refuse the file when one cannot be used.

    Raises:
        InvalidFileError: names the lines.
    """
    folder = state.job_folder(job.id)
    training = _load(folder, "training", job, check=check)
    validation = None if job.validation_file is None else _load(folder, "validation", job, check=check)
    if check:
        try:
            refuse_errors(training, validation, backend=backend_of(f"local:{job.source}"))
        except DataError as error:
            said = str(error).rpartition("\n")[0]  # without the advice, which is for ftkit's own callers
            raise InvalidFileError(_refused("training", said, folder)) from None
    return training, validation


def _load(folder: Path, role: str, job: JobRecord, *, check: bool) -> Dataset:
    try:
        data = Dataset.load(_path(folder, role), format=_FORMATS[job.method])
        problems = data.check() if check else []
    except (DataError, ConfigError) as error:
        problems = [error if isinstance(error, DataError) else DataError(str(error))]
    if not problems:
        return data
    lines = [_line(problem) for problem in problems[:_TOLD]]
    more = len(problems) - len(lines)
    lines += [f"… and {more:,} more lines"] if more > 0 else []
    raise InvalidFileError(_refused(role, "Invalid file format. " + "; ".join(lines), folder))


def _line(problem: DataError) -> str:
    where = f"Line {problem.place.line}: " if problem.place else ""
    what = f"{problem.field}: " if problem.field else ""
    return f"{where}{what}{problem.message}"


def _refused(role: str, said: str, folder: Path) -> JobError:
    for name in ("training", "validation"):  # where they lie is no matter of a client's
        said = said.replace(str(_path(folder, name)), f"The {name} file")
    message = f"The job failed due to an invalid {role} file. {said}"
    return JobError(code=f"invalid_{role}_file", message=message, param=f"{role}_file")


def _path(folder: Path, role: str) -> Path:
    return folder / f"{role}.jsonl"
