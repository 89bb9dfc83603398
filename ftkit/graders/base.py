"""The base classes of graders, and the context that a grader runs in. Graders know no backend."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

from pydantic import ConfigDict, Field, SerializerFunctionWrapHandler, ValidationError, model_serializer
from typing_extensions import override

from ftkit.errors import ConfigError
from ftkit.graders.grade import Grade, GradingError, Sample
from ftkit.graders.limits import Limits
from ftkit.schema import FrozenModel, Output
from ftkit.schema.validation_errors import config_error
from ftkit.task import Message

__all__ = [
    "AnswerLike",
    "Ask",
    "Embed",
    "Grader",
    "GraderContext",
    "Isolation",
    "Measure",
    "Pair",
    "Scores",
    "SingleGrader",
]

Pair = tuple[Mapping[str, Any], Sample]
"""A row's columns (``item``) and an answer to it."""

Isolation = Literal["kernel", "process"]
"""How Python graders are isolated. ``kernel``: in namespaces of their own, without network or files; refused where the
machine cannot do that. ``process``: in a process with limits only, which can still read and write your files."""


class AnswerLike(Protocol):
    """A model's answer; :class:`ftkit.Answer` is one."""

    @property
    def text(self) -> str:
        """The text of the answer."""
        ...

    @property
    def error(self) -> str | None:
        """Why there is no answer, or None."""
        ...


class Ask(Protocol):
    """How a grader asks a model; ``ftkit.backends.grading`` implements it over all backends."""

    def __call__(
        self,
        model: str,
        prompts: Sequence[Sequence[Message]],
        *,
        output: Output | None,
        max_output_tokens: int,
        temperature: float | None,
        top_p: float | None,
        seed: int | None,
        **options: Any,
    ) -> Sequence[AnswerLike]:
        """Answer each prompt, in order. ``output`` constrains the answers where the backend can do so.

        None leaves an option at its default: greedy decoding. ``options`` holds ``reasoning_effort`` if the grader sets
        it, and is empty unless ``GraderContext.asks_reasoning`` is true.
        """
        ...


Scores = Callable[[str, Sequence[Sequence[Message]]], list[float]]
"""Takes a reward model's name and conversations; returns its score of the last turn of each."""

Measure = Callable[[str, Sequence[tuple[str, str]]], Sequence[float | GradingError]]
"""Takes a measure's name and pairs of a text and its reference; see
:func:`ftkit.graders.text_measures.measure_texts`, which a server calls in a process of its own."""

Embed = Callable[[Sequence[str]], Sequence[Sequence[float]]]
"""Takes texts, none of them empty; returns the embedding of each, all of one length.

Raises DataError if a text cannot be embedded, and HostError if a host cannot be reached.
"""


@dataclass(frozen=True, slots=True)
class GraderContext:
    """What graders may use while they run.

    Attributes:
        ask: asks models; None refuses graders that ask a model.
        asks_reasoning: whether ``ask`` takes ``reasoning_effort``.
        scores: asks reward models; None refuses graders that need one.
        measure: compares texts; None compares them in this process.
        embed: embeds texts; None refuses graders that compare embeddings.
        workers: how many parts of ``multi``, or Python sandboxes, run at the same time.
        allow_python: whether Python code that comes from files may run: ``python`` graders, and the functions that
            ``function`` graders name. Off by default, because it is untrusted code.
        allow_functions: whether such functions may run though ``allow_python`` is off, because somebody checked that
            they are the user's own.
        isolation: how Python graders are isolated, see :data:`Isolation`.
        limits: resource limits of Python graders.
    """

    ask: Ask | None = None
    scores: Scores | None = None
    measure: Measure | None = None
    embed: Embed | None = None
    workers: int = 8
    allow_python: bool = False
    allow_functions: bool = False
    isolation: Isolation = "kernel"
    limits: Limits = field(default_factory=Limits)
    asks_reasoning: bool = False


class Grader(FrozenModel, ABC):
    """Grade answers.

    A grader is frozen plain data. Its ``type`` names its class in :data:`ftkit.graders.GRADERS`. The JSON of OpenAI's
    types is exactly OpenAI's.

    Raises:
        ConfigError: the fields do not make a usable grader.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    own: ClassVar[bool] = False
    """Whether the type is not one of OpenAI's, so that no host knows it."""
    composable: ClassVar[bool] = True
    """Whether the grader can be a part of ``multi``."""

    type: str
    name: str = Field(min_length=1)
    """Name of the grader in reports."""

    def __init__(self, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise config_error(error, type(self), fields) from error

    @model_serializer(mode="wrap")
    def _without_none(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out fields that are None, as OpenAI's JSON does."""
        dumped: dict[str, Any] = handler(self)
        return {key: value for key, value in dumped.items() if value is not None}

    @property
    def bounds(self) -> tuple[float, float]:
        """The lowest and the highest possible grade."""
        return -math.inf, math.inf

    @property
    def rates(self) -> bool:
        """Whether every grade is between 0 and 1."""
        low, high = self.bounds
        return low >= 0 and high <= 1

    @property
    def foreign(self) -> tuple[str, ...]:
        """The grader types in it that only ftkit has, so that no host takes them."""
        return (self.type,) if self.own else ()

    def reads(self) -> frozenset[str] | None:
        """Say which columns of a row the grader reads.

        Returns:
            The columns' names, or None if that cannot be known without running the grader's code.
        """
        return frozenset()

    def check(self, setting: GraderContext) -> None:
        """Refuse, before the first answer, a grader that cannot run.

        Args:
            setting: what the grader may use.

        Raises:
            ConfigError: ``setting`` lacks what the grader needs, or does not allow it.
            MissingExtraError: a library is not installed.
        """

    def read_from_data(self) -> Grader:
        """Note that the grader was read from plain data, such as a file, and not written in Python.

        Returns:
            The grader itself.
        """
        return self

    @abstractmethod
    def grade_many(self, pairs: Sequence[Pair], setting: GraderContext) -> list[Grade]:
        """Grade answers.

        An answer that cannot be graded gets 0 and the reason; the others keep their grades.

        Args:
            pairs: rows' columns, each with an answer.
            setting: what the grader may use.

        Returns:
            The grade of each answer, in order.

        Raises:
            ConfigError: as :meth:`check`.
            MissingExtraError: as :meth:`check`.
        """


class SingleGrader(Grader):
    """Base of the graders that grade one answer at a time."""

    @abstractmethod
    def score(self, item: Mapping[str, Any], sample: Sample) -> float:
        """Grade one answer.

        Args:
            item: the row's columns.
            sample: the answer.

        Returns:
            The grade.

        Raises:
            GradingError: the answer cannot be graded.
        """

    @override
    def grade_many(self, pairs: Sequence[Pair], setting: GraderContext) -> list[Grade]:
        self.check(setting)
        return [self._graded(item, sample) for item, sample in pairs]

    def _graded(self, item: Mapping[str, Any], sample: Sample) -> Grade:
        try:
            return Grade(finite(self.score(item, sample)))
        except GradingError as error:
            return error.grade


def finite(value: object) -> float:
    """Convert a grade to a finite float.

    Args:
        value: what a grader computed.

    Returns:
        The number.

    Raises:
        GradingError: it is not a number, or not a finite one.
    """
    if isinstance(value, int | float):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return number
    raise GradingError("other_error", f"the grade is {value!r:.100}, which is not a finite number")


def unmet(grader: Grader, what: str) -> ConfigError:
    """Make the error of a grader that cannot run.

    Args:
        grader: the grader.
        what: what it lacks, and what to do.

    Returns:
        The error, to be raised.
    """
    return ConfigError(f'grader "{grader.name}" ({grader.type}): {what}')
