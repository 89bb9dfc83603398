"""Combine several graders by a formula."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import ClassVar, Literal

from pydantic import Field, model_validator
from typing_extensions import override

from ftkit.errors import ConfigError
from ftkit.graders.base import Grader, GraderContext, Pair, finite
from ftkit.graders.expression import FUNCTIONS, Expression
from ftkit.graders.grade import Grade, GradingError
from ftkit.graders.registry import AnyPart
from ftkit.graders.sandbox import stopped_on_error

__all__ = ["MultiGrader"]

_DIGITS = 12
"""Grades are rounded to this many digits, so that 0.1*a + 0.2*b + 0.7*c is 1 if all three are 1."""


class MultiGrader(Grader):
    """Combine the grades of several graders by a formula.

        MultiGrader(graders={"right": …, "short": …}, calculate_output="0.8*right + 0.2*short")

    A part that fails counts 0 in the formula; the grade keeps its reason. Parts are graded in parallel. Source:
    https://platform.openai.com/docs/guides/graders#multigraders

    Raises:
        ConfigError: the formula is invalid, or names a grader that is not among ``graders``.
    """

    composable: ClassVar[bool] = False

    type: Literal["multi"] = "multi"
    name: str = "multi"
    graders: dict[str, AnyPart] = Field(min_length=1)
    """The graders, by the names that the formula uses."""
    calculate_output: str
    """Numbers, the graders' names, ``+ - * / ^``, parentheses, ``min max abs floor ceil exp sqrt log``."""

    @model_validator(mode="after")
    def _fits(self) -> MultiGrader:
        for name in self.graders:
            if not name.isidentifier() or name in FUNCTIONS:
                raise ConfigError(f'graders: "{name}" cannot be used in a formula; use letters, digits and _')
        missing = Expression.of(self.calculate_output).names - self.graders.keys()
        if missing:
            raise ConfigError(
                f"calculate_output: there is no grader {', '.join(sorted(missing))} among {', '.join(self.graders)}"
            )
        return self

    @property
    @override
    def bounds(self) -> tuple[float, float]:
        ends = {name: part.bounds for name, part in self.graders.items()}
        low, high = Expression.of(self.calculate_output).bounds(ends)
        return round(low, _DIGITS), round(high, _DIGITS)

    @property
    @override
    def foreign(self) -> tuple[str, ...]:
        return tuple(word for part in self.graders.values() for word in part.foreign)

    @override
    def reads(self) -> frozenset[str] | None:
        found: frozenset[str] = frozenset()
        for part in self.graders.values():
            columns = part.reads()
            if columns is None:
                return None
            found |= columns
        return found

    @override
    def check(self, setting: GraderContext) -> None:
        for part in self.graders.values():
            part.check(setting)

    @override
    def grade_many(self, pairs: Sequence[Pair], setting: GraderContext) -> list[Grade]:
        self.check(setting)
        workers = min(setting.workers, len(self.graders))
        with ThreadPoolExecutor(workers, thread_name_prefix="grade") as pool, stopped_on_error():
            running = {
                name: pool.submit(copy_context().run, part.grade_many, pairs, setting)
                for name, part in self.graders.items()
            }
            found = {name: grades.result() for name, grades in running.items()}
        return [self._one({name: grades[at] for name, grades in found.items()}) for at in range(len(pairs))]

    def _one(self, grades: Mapping[str, Grade]) -> Grade:
        parts = {name: grade.reward for name, grade in grades.items()}
        try:
            reward = round(finite(Expression.of(self.calculate_output)(parts)), _DIGITS)
        except GradingError as error:
            return Grade(0.0, parts, error.error, error.detail)
        for name, grade in grades.items():
            if grade.error is not None:
                return Grade(reward, parts, grade.error, f"{name}: {grade.detail}")
        return Grade(reward, parts)
