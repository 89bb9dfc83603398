"""Every error ftkit raises on purpose, as one tree.

    FtkitError
    ├── ConfigError          (ValueError)   an argument, task or recipe that makes no sense
    │   └── RefusedError                    a backend cannot honour a recipe field; nothing was started
    ├── MissingExtraError    (ImportError)  an optional part of ftkit is not installed
    ├── DataError            (ValueError)   a file or row that cannot be used; names the place
    │   └── FormatError                     the kind of file could not be told, or was told wrongly
    ├── OutputError          (ValueError)   a model's text is not a valid answer; names the JSON path
    ├── ModelError                          a model could not be found, loaded or asked
    │   └── BusyError                       too many ask at once; asking again later helps
    ├── HostError                           a hosted API refused a call, or could not be reached
    ├── RunError                            a run that cannot go on
    │   ├── RunNotFoundError (KeyError)
    │   ├── RunFailedError                  training ended without a model
    │   └── RunCancelledError
    ├── TrainingError                       the engine stopped itself (non-finite loss, dead parameters)
    ├── ExportError                         an exported model is not the one that ftkit serves; nothing was left
    └── ReportError          (ValueError)   reports that cannot be read or compared

Each message says what was wrong, where, and what to do. Catch :class:`FtkitError` to catch them all. Every class
stays picklable, because training runs in another process.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = [
    "BusyError",
    "ConfigError",
    "DataError",
    "DataProblem",
    "ExportError",
    "FormatError",
    "FtkitError",
    "HostError",
    "MissingExtraError",
    "ModelError",
    "OutputError",
    "OutputProblem",
    "Place",
    "RefusedError",
    "ReportError",
    "RunCancelledError",
    "RunError",
    "RunFailedError",
    "RunNotFoundError",
    "TrainingError",
]


class FtkitError(Exception):
    """Base of every error that ftkit raises on purpose."""


class ConfigError(FtkitError, ValueError):
    """An argument, a task or a recipe that cannot work as written."""


class RefusedError(ConfigError):
    """A backend cannot honour what a recipe asks for. Raised before anything is uploaded, started or paid.

    Attributes:
        backend: name of the backend that refuses, e.g. ``"local"``.
        fields: dotted names of the recipe's fields that it refuses, e.g. ``("adapter.rank",)``.
    """

    def __init__(self, message: str, *, backend: str = "", fields: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.backend = backend
        self.fields = fields


class MissingExtraError(FtkitError, ImportError):
    """An optional part is needed and not installed; the message is the exact install line."""

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
    """Where a row came from: ``visits.jsonl:12``.

    ``line`` counts from 1 and is the physical line in text files, the row number in Parquet files and iterables.
    """

    source: str
    line: int

    def __str__(self) -> str:
        return f"{self.source}:{self.line}"


DataProblem = Literal["role", "empty_answer", "no_answer", "same_answers", "prompts_differ", "no_end_of_turn"]
"""What can be wrong with a row that is whole and of its format.

``role``: a turn that may not stand where it does. ``empty_answer`` / ``no_answer``: nothing to learn.
``same_answers`` / ``prompts_differ``: a preference whose two answers are one, or answer two questions.
``no_end_of_turn``: a model's chat template ends the answer with no token that could be learned.
"""


class DataError(FtkitError, ValueError):
    """A file or a row that cannot be used.

    Attributes:
        place: the file and line, when one row is to blame.
        field: the column or message field to blame, e.g. ``"messages[2].role"``.
        problem: what kind of fault, see :data:`DataProblem`; None for all others.
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
        super().__init__(f"{where}{what}{message}")
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
    """The format of a file could not be detected, or is not the one that was asked for."""


OutputProblem = Literal["not_json", "missing_field", "extra_field", "wrong_type", "invalid_value"]
"""What can be wrong with a model's answer.

``not_json``: the text is not one JSON value. ``missing_field`` / ``extra_field`` / ``wrong_type``: see the path.
``invalid_value``: right type, but outside the enum, range, pattern or choice the schema allows.
"""


class OutputError(FtkitError, ValueError):
    """A model's text is not a valid answer for the task.

    Attributes:
        problem: what kind of mistake, see :data:`OutputProblem`.
        path: JSON path of the place, ``$`` for the whole answer, e.g. ``$.items[2].price``.
        text: the model's whole text.
        allowed: the only values that the schema lists for the place, as JSON; empty where it lists none.
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
    """A model could not be found, loaded or asked."""


class BusyError(ModelError):
    """Too many ask at once. Nothing was computed; the same question may be answered later.

    Attributes:
        retry_after_s: seconds after which there is likely to be room.
    """

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after_s = retry_after_s

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.message, self.retry_after_s))


class HostError(FtkitError):
    """A hosted API refused a call, or could not be reached. The message never holds a key.

    Attributes:
        status: the HTTP status, when there was an answer.
        code: the API's own word for it, e.g. ``"training_not_available"``.
        passing: trying again later may help.
        unsure: the call may have been carried out all the same.
        retry_after_s: seconds to wait, when the API named them.
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


class RunError(FtkitError):
    """A run that cannot go on."""


class RunNotFoundError(RunError, KeyError):
    """No run of that id is in the store."""

    def __str__(self) -> str:  # KeyError would show the repr of the message
        return str(self.args[0]) if self.args else ""


class RunFailedError(RunError):
    """Training ended without a model; the message holds the reason and the place of the log."""


class RunCancelledError(RunError):
    """The run was cancelled, so it has no model."""


class TrainingError(FtkitError):
    """The engine stopped itself, with a diagnosis: a loss that is not finite, parameters that never change."""


class ExportError(FtkitError):
    """An exported model answers otherwise than ftkit serves it, or the form cannot say what the model needs.

    The folder is not there afterwards: what was built of it is removed.
    """


class ReportError(FtkitError, ValueError):
    """A report that cannot be read, or reports that cannot be compared."""
