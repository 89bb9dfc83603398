"""All errors that ftkit raises on purpose.

    FtkitError
    ├── ConfigError          (ValueError)   an invalid argument, task or recipe
    │   └── RefusedError                    a backend does not support a recipe field; nothing was started
    ├── MissingExtraError    (ImportError)  an optional part of ftkit is not installed
    ├── DataError            (ValueError)   an unusable file or row; names file and line
    │   └── FormatError                     the format of a file is unknown or ambiguous
    ├── OutputError          (ValueError)   a model's text is not a valid answer; names the JSON path
    ├── ModelError                          a model cannot be found, loaded or run
    │   ├── AnswerTimeoutError (TimeoutError)  no answer within the time limit of the call
    │   ├── PromptError                     prompts that are too long, or that the chat template refuses
    │   └── BusyError                       too many requests at once; retry later
    ├── HostError                           a hosted API refused a call, or cannot be reached
    ├── RunError                            a run that cannot continue
    │   ├── RunNotFoundError (KeyError)
    │   ├── RunFailedError                  training ended without a model
    │   ├── RunCancelledError
    │   └── StorageError                    the store of runs cannot be written; it can still be read
    ├── TrainingError                       training stopped itself (non-finite loss, frozen parameters)
    ├── ExportError                         an exported model differs from the served one; nothing was written
    ├── MigrationError                      a step of a migration failed; names the step
    └── ReportError          (ValueError)   reports that cannot be read or compared

Each message says what is wrong, where, and what to do. Catch :class:`FtkitError` to catch them all. Every class can be
pickled, because training runs in another process.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ftkit.error_text import ErrorText
from ftkit.printable import printable

__all__ = [
    "AnswerTimeoutError",
    "BusyError",
    "ConfigError",
    "DataError",
    "DataProblem",
    "ExportError",
    "FormatError",
    "FtkitError",
    "HostError",
    "MigrationError",
    "MissingExtraError",
    "ModelError",
    "OutputError",
    "OutputProblem",
    "Place",
    "PromptError",
    "RefusedError",
    "ReportError",
    "RunCancelledError",
    "RunError",
    "RunFailedError",
    "RunNotFoundError",
    "StorageError",
    "TrainingError",
]


class FtkitError(Exception):
    """Base of every error that ftkit raises on purpose.

    A message may contain what a host, a model or a file says. ``str(error)`` shows its control characters as escapes.
    """

    def __str__(self) -> str:
        return printable(super().__str__())


class ConfigError(FtkitError, ValueError):
    """An argument, a task or a recipe is invalid."""


class RefusedError(ConfigError):
    """A backend does not support what a recipe asks for. Raised before anything is uploaded, started or paid.

    Attributes:
        backend: name of the backend that refuses, e.g. ``"local"``.
        fields: dotted names of the refused recipe fields, e.g. ``("adapter.rank",)``.
    """

    def __init__(self, message: str, *, backend: str = "", fields: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.backend = backend
        self.fields = fields


class MissingExtraError(FtkitError, ImportError):
    """An optional part of ftkit is not installed. The message gives the install command."""

    def __init__(self, extra: str, needed_for: str, cause: str = "") -> None:
        because = f" ({cause})" if cause else ""
        super().__init__(
            f'{needed_for} needs the extra "{extra}"{because}. Install it with: pip install "ftkit[{extra}]"'
        )
        self._arguments = (extra, needed_for, cause)
        self.extra = extra

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), self._arguments)


@dataclass(frozen=True, slots=True)
class Place:
    """Source of a row: ``visits.jsonl:12``.

    ``line`` counts from 1. It is the line in text files, and the row number in Parquet files and iterables. ``row`` is
    the number of the row, from 1, where several rows share a line, as in a JSON array on one line:
    ``visits.json: row 12``.
    """

    source: str
    line: int
    row: int | None = None

    def __str__(self) -> str:
        return f"{self.source}:{self.line}" if self.row is None else f"{self.source}: row {self.row}"


DataProblem = Literal["role", "empty_answer", "no_answer", "same_answers", "prompts_differ", "no_end_of_turn"]
"""Faults of a row that is well-formed.

``role``: a message whose role is not allowed there. ``empty_answer`` / ``no_answer``: there is nothing to learn.
``same_answers`` / ``prompts_differ``: a preference with two equal answers, or with two prompts.
``no_end_of_turn``: the model's chat template does not end the answer with a token that can be learned.
"""


class DataError(FtkitError, ValueError):
    """A file or a row cannot be used.

    Attributes:
        place: file and line, if one row is at fault.
        field: the column or message field at fault, e.g. ``"messages[2].role"``.
        problem: kind of fault, see :data:`DataProblem`; None for others.
    """

    def __init__(
        self,
        message: str,
        *,
        place: Place | None = None,
        field: str | None = None,
        problem: DataProblem | None = None,
    ) -> None:
        where = f"{place}: " if place else ""
        what = f"{field}: " if field else ""
        super().__init__(ErrorText(where, what, message))
        self.message = message
        self.place = place
        self.field = field
        self.problem: DataProblem | None = problem

    def __reduce__(self) -> tuple[object, ...]:
        return (_data_error, (type(self), self.message, self.place, self.field, self.problem))


def _data_error(
    kind: type[DataError], message: str, place: Place | None, field: str | None, problem: DataProblem | None
) -> DataError:
    return kind(message, place=place, field=field, problem=problem)


class FormatError(DataError):
    """The format of a file cannot be detected, or is not the requested one."""


OutputProblem = Literal["not_json", "missing_field", "extra_field", "wrong_type", "invalid_value"]
"""Faults of a model's answer.

``not_json``: the text is not one JSON value. ``missing_field`` / ``extra_field`` / ``wrong_type``: see the path.
``invalid_value``: the type is right, but the schema's enum, range, pattern or choice does not allow the value.
"""


class OutputError(FtkitError, ValueError):
    """A model's text is not a valid answer for the task.

    Attributes:
        problem: kind of fault, see :data:`OutputProblem`.
        path: JSON path of the fault, ``$`` for the whole answer, e.g. ``$.items[2].price``.
        text: the model's full text.
        allowed: the values that the schema lists for the path, as JSON; empty if it lists none.
    """

    def __init__(
        self,
        message: str,
        *,
        problem: OutputProblem,
        path: str = "$",
        text: str = "",
        allowed: tuple[str, ...] = (),
    ) -> None:
        super().__init__(f"{path}: {message}")
        self.message = message
        self.problem: OutputProblem = problem
        self.path = path
        self.text = text
        self.allowed = allowed

    def __reduce__(self) -> tuple[object, ...]:
        return (_output_error, (self.message, self.problem, self.path, self.text, self.allowed))


def _output_error(message: str, problem: OutputProblem, path: str, text: str, allowed: tuple[str, ...]) -> OutputError:
    return OutputError(message, problem=problem, path=path, text=text, allowed=allowed)


class ModelError(FtkitError):
    """A model cannot be found, loaded or run."""


class AnswerTimeoutError(ModelError, TimeoutError):
    """A model did not answer within the time limit of the call."""


class PromptError(ModelError):
    """A model cannot be asked some of the prompts: they are too long, or its chat template refuses them.

    Attributes:
        problems: what is wrong, by the number of the request, from 0. The other requests can be asked.
    """

    def __init__(self, message: str, problems: Mapping[int, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.problems = dict(problems or {})

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.message, self.problems))


class BusyError(ModelError):
    """Too many requests at once. Nothing was computed; retry later.

    Attributes:
        retry_after_s: seconds after which a retry is likely to succeed.
    """

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after_s = retry_after_s

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.message, self.retry_after_s))


class HostError(FtkitError):
    """A hosted API refused a call, or cannot be reached. The message never contains a key.

    Attributes:
        status: the HTTP status, if there was a response.
        code: the API's error code, e.g. ``"training_not_available"``.
        passing: whether a later retry may succeed.
        unsure: whether the call may have taken effect despite the error.
        retry_after_s: seconds to wait, if the API gave them.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        passing: bool = False,
        unsure: bool = False,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.passing = passing
        self.unsure = unsure
        self.retry_after_s = retry_after_s

    @property
    def may_have_answered(self) -> bool:
        """Whether the host may have answered to the end, and charged for it, although no answer came.

        So it is after a timeout, here or at a gateway, and after a cut connection. A host that answers with another
        error charges nothing.
        """
        return self.unsure and self.status in (None, 408, 504, 524)


class RunError(FtkitError):
    """A run cannot continue."""


class RunNotFoundError(RunError, KeyError):
    """The store has no run with that id."""

    def __str__(self) -> str:  # KeyError would show the repr of the message
        return printable(str(self.args[0])) if self.args else ""


class RunFailedError(RunError):
    """Training ended without a model; the message gives the reason and the path of the log."""


class RunCancelledError(RunError):
    """The run was cancelled, so it has no model."""


class StorageError(RunError):
    """Nothing can be stored, because the disk is full or the folder is read-only. What is stored can be read.

    Attributes:
        full: whether the disk is full.
    """

    def __init__(self, message: str, *, full: bool = False) -> None:
        super().__init__(message)
        self.full = full


class TrainingError(FtkitError):
    """Training stopped itself, with a diagnosis: a non-finite loss, or parameters that never change."""


class ExportError(FtkitError):
    """An exported model differs from the served one, or the form cannot express what the model needs.

    Nothing is written to the folder.
    """


class ReportError(FtkitError, ValueError):
    """A report cannot be read, or reports cannot be compared."""


class MigrationError(FtkitError):
    """A step of a migration failed. What was done before is kept; the message names the step and the way on.

    Attributes:
        step: name of the step, e.g. ``"freeze"``.
    """

    def __init__(self, message: str, *, step: str = "") -> None:
        super().__init__(message)
        self.step = step
