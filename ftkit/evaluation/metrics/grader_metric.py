"""Graders as metrics: the same grader can reward answers in training and measure them in evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from typing_extensions import override

from ftkit.backends.grading import grading_setting
from ftkit.errors import ConfigError
from ftkit.evaluation.metrics.metric import RowMetric
from ftkit.graders import Grade, Grader, GraderContext, Isolation, Limits, MultiGrader, Sample
from ftkit.results.metric_result import Unit
from ftkit.results.report_row import RowResult
from ftkit.task import Message

__all__ = ["GraderMetric", "graded", "metrics_of"]


def graded(
    grader: Grader,
    *,
    allow_python: bool = False,
    isolation: Isolation = "kernel",
    limits: Limits | None = None,
    embedder: str | None = None,
) -> tuple[GraderMetric, ...]:
    """Make metrics of a grader: one of its grade and, for a ``multi`` grader, one of each part, named ``name:part``.

    An answer that cannot be graded counts 0. A note of the report lists the reasons.

    Args:
        grader: the grader. If it needs none of the options below, it can be given to ``evaluate`` directly.
        allow_python: allow ``python`` graders to run, in a sandbox, and functions that a grader file names.
        isolation: how the sandbox isolates them.
        limits: the resources that they may use; OpenAI's limits by default.
        embedder: the model that embeds texts for ``cosine``: ``"openai:text-embedding-3-large"``, ``"local:NAME"``.

    Returns:
        The grader's metric, then those of its parts.

    Raises:
        ConfigError: what the grader needs is not available or not allowed.
        MissingExtraError: a library is not installed.
    """
    setting = grading_setting(allow_python=allow_python, isolation=isolation, limits=limits, embedder=embedder)
    return metrics_of(grader, setting)


def metrics_of(grader: Grader, setting: GraderContext) -> tuple[GraderMetric, ...]:
    """Make metrics of a grader; see :func:`graded`.

    Args:
        grader: the grader.
        setting: what it may use.

    Returns:
        The grader's metric, then those of its parts.

    Raises:
        ConfigError: what the grader needs is not available or not allowed.
        MissingExtraError: a library is not installed.
    """
    grader.check(setting)
    grading = _Grading(grader, setting)
    parts = grader.graders if isinstance(grader, MultiGrader) else {}
    return (
        _metric(grading, grader, None, f"grade by {grader.type}"),
        *(_metric(grading, part, name, f"grade by {part.type}, part of {grader.name}") for name, part in parts.items()),
    )


class _Grading:
    """Grades the same rows once, however many metrics read the grades."""

    def __init__(self, grader: Grader, setting: GraderContext) -> None:
        self.grader, self._setting = grader, setting
        self._rows: Sequence[RowResult] | None = None
        self._grades: list[Grade | None] = []

    def grades(self, rows: Sequence[RowResult]) -> list[Grade | None]:
        """Return the grade of each row, or None where the request failed, so that there is no answer to grade."""
        if self._rows is not rows:
            self._check_columns(rows)
            answered = [row for row in rows if row.finish_reason != "error"]
            pairs = [
                (row.item, Sample(row.text, row.tool_calls or (), cast("tuple[Message, ...]", row.prompt)))
                for row in answered
            ]
            grades = iter(self.grader.grade_many(pairs, self._setting) if pairs else [])
            self._grades = [None if row.finish_reason == "error" else next(grades) for row in rows]
            self._rows = rows
        return self._grades

    def _check_columns(self, rows: Sequence[RowResult]) -> None:
        columns = self.grader.reads() or frozenset()
        missing = sorted(column for column in columns if rows and not any(column in row.item for row in rows))
        if missing:
            raise ConfigError(
                f'grader "{self.grader.name}" reads the column {", ".join(missing)}, which no row has. Columns are '
                "those of the data, and target is the wanted answer; a report keeps those that its graders read"
            )


@dataclass(frozen=True, kw_only=True)
class GraderMetric(RowMetric):
    """The grade of a grader, or of one part of it. Grades all rows in one call."""

    grading: _Grading
    part: str | None

    @property
    @override
    def columns(self) -> frozenset[str] | None:
        return self.grading.grader.reads()

    @override
    def scores(self, rows: Sequence[RowResult]) -> list[float | None]:
        # A failed request counts as wrong in a rate. On another scale 0 could be a good grade, so it is left out.
        failed = 0.0 if self.unit == "rate" else None
        return [failed if grade is None else self._value(grade) for grade in self.grading.grades(rows)]

    @override
    def failures(self, rows: Sequence[RowResult]) -> list[str | None]:
        if self.part is not None:  # the metric of the whole grader reports them
            return [None] * len(rows)
        return [
            None if grade is None or grade.error is None else f"{grade.error}: {grade.detail}"
            for grade in self.grading.grades(rows)
        ]

    def _value(self, grade: Grade) -> float:
        return grade.reward if self.part is None else grade.parts[self.part]


def _metric(grading: _Grading, grader: Grader, part: str | None, description: str) -> GraderMetric:
    name = grading.grader.name if part is None else f"{grading.grader.name}:{part}"
    unit: Unit = "rate" if grader.rates else "number"
    return GraderMetric(name=name, description=description, unit=unit, grading=grading, part=part)
