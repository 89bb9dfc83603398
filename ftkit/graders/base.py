"""What every grader is, and what it may use of the world: graders themselves know no backend."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

from pydantic import ConfigDict, Field, SerializerFunctionWrapHandler, ValidationError, model_serializer

from ftkit.errors import ConfigError
from ftkit.graders.grade import Grade, GradingError, Sample
from ftkit.graders.limits import Limits
from ftkit.schema import Output
from ftkit.schema.frozen_model import Frozen
from ftkit.schema.validation_errors import config_error
from ftkit.task import Message

__all__ = ["Answerlike", "Ask", "Embed", "Grader", "Isolation", "Pair", "Scores", "Setting", "SingleGrader"]

Pair = tuple[Mapping[str, Any], Sample]
"""A row's columns (``item``) and an answer to it."""

Isolation = Literal["kernel", "process"]
"""How Python graders are kept apart. ``kernel``: in namespaces of their own, without network or files; refused where
the machine has none. ``process``: in a process with limits alone, which can still read files and reach the network."""


class Answerlike(Protocol):
    """What a model said; :class:`ftkit.Answer` is one."""

    @property
    def text(self) -> str: ...

    @property
    def error(self) -> str | None: ...


class Ask(Protocol):
    """How a grader reaches a model: ``ftkit.backends.grading`` has one over all backends."""

    def __call__(
        self,
        model: str,
        prompts: Sequence[Sequence[Message]],
        *,
        output: Output | None,
        max_output_tokens: int,
        temperature: float,
        top_p: float,
        seed: int,
    ) -> Sequence[Answerlike]:
        """Answer each prompt, in order; ``output`` is what an answer must look like, where the place can hold to it."""
        ...


Scores = Callable[[str, Sequence[Sequence[Message]]], list[float]]
"""The scores that a reward model, by its name, gives to the last turn of each conversation."""

Embed = Callable[[Sequence[str]], Sequence[Sequence[float]]]
"""The embedding of each text, none of them empty; all have one length.

Raises DataError when a text cannot be embedded, and HostError when a host cannot be asked.
"""


@dataclass(frozen=True, slots=True)
class Setting:
    """What graders may use.

    Attributes:
        ask: how models are asked; None: graders that ask a model are refused.
        scores: how reward models are asked; None: graders that need one are refused.
        embed: how texts are embedded; None: graders that compare embeddings are refused.
        workers: parts of ``multi``, and Python sandboxes, that run at the same time.
        allow_python: whether ``python`` graders may run. Off unless the user says otherwise: it is foreign code.
        isolation: of Python graders, see :data:`Isolation`.
        limits: of Python graders: time, memory, disk, output, processes.
    """

    ask: Ask | None = None
    scores: Scores | None = None
    embed: Embed | None = None
    workers: int = 8
    allow_python: bool = False
    isolation: Isolation = "kernel"
    limits: Limits = field(default_factory=Limits)


class Grader(Frozen, ABC):
    """Grades answers. Frozen plain data, told apart by ``type``; the JSON of OpenAI's types is exactly OpenAI's.

    Raises:
        ConfigError: fields that make no usable grader.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    own: ClassVar[bool] = False
    """Whether the type is not one of OpenAI's, so that no host knows it."""
    composable: ClassVar[bool] = True
    """Whether the grader can be a part of ``multi``."""

    type: str
    name: str = Field(min_length=1)
    """What the grader is called in reports."""

    def __init__(self, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise config_error(error, type(self), fields) from error

    @model_serializer(mode="wrap")
    def _without_none(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """OpenAI's forms have no nulls where a field is left out."""
        dumped: dict[str, Any] = handler(self)
        return {key: value for key, value in dumped.items() if value is not None}

    @property
    def bounds(self) -> tuple[float, float]:
        """The lowest and the highest grade there can be."""
        return -math.inf, math.inf

    @property
    def rates(self) -> bool:
        """Whether every grade is between 0 and 1."""
        low, high = self.bounds
        return low >= 0 and high <= 1

    @property
    def foreign(self) -> tuple[str, ...]:
        """The types in it that are ftkit's own and no host takes."""
        return (self.type,) if self.own else ()

    def reads(self) -> frozenset[str] | None:
        """The columns of a row that the grader reads; None when only its code knows."""
        return frozenset()

    def check(self, setting: Setting) -> None:
        """Refuse what can be known before the first answer.

        Raises:
            ConfigError: ``setting`` lacks what the grader needs, or does not allow it.
            MissingExtraError: a library is not installed.
        """

    @abstractmethod
    def grade_many(self, pairs: Sequence[Pair], setting: Setting) -> list[Grade]:
        """The grade of each answer, in order. An answer that cannot be graded gets 0 and the reason, and disturbs no
        other.

        Raises:
            ConfigError, MissingExtraError: as :meth:`check`.
        """


class SingleGrader(Grader):
    """A grader that looks at one answer at a time."""

    @abstractmethod
    def score(self, item: Mapping[str, Any], sample: Sample) -> float:
        """The grade of one answer.

        Raises:
            GradingError: there is none.
        """

    def grade_many(self, pairs: Sequence[Pair], setting: Setting) -> list[Grade]:
        self.check(setting)
        return [self._graded(item, sample) for item, sample in pairs]

    def _graded(self, item: Mapping[str, Any], sample: Sample) -> Grade:
        try:
            return Grade(finite(self.score(item, sample)))
        except GradingError as error:
            return error.grade


def finite(value: object) -> float:
    """``value`` as a number.

    Raises:
        GradingError: it is none, or not a finite one.
    """
    if isinstance(value, int | float):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return number
    raise GradingError("other_error", f"the grade is {value!r:.100}, which is no finite number")


def unmet(grader: Grader, what: str) -> ConfigError:
    """What a grader says that cannot run in its setting."""
    return ConfigError(f'grader "{grader.name}" ({grader.type}): {what}')
