"""Graders as metrics: what rewards answers in training measures them here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from ftkit.backends.grading import grading_setting
from ftkit.errors import ConfigError
from ftkit.evaluation.metrics.metric import RowMetric
from ftkit.graders import Grade, Grader, GraderContext, Isolation, Limits, MultiGrader, Sample
from ftkit.results.report_row import RowResult
from ftkit.task import Message

__all__ = ["GraderMetric", "graded"]


def graded(
    grader: Grader,
    *,
    allow_python: bool = False,
    isolation: Isolation = "kernel",
    limits: Limits | None = None,
    embedder: str | None = None,
) -> tuple[GraderMetric, ...]:
    """The metrics of a grader: its own grade, and for ``multi`` each part's, as ``name:part``.

    An answer that cannot be graded counts 0; a note of the report counts the reasons.

    Args:
        grader: any; one that needs none of what follows can be given to ``evaluate`` as it is.
        allow_python: let ``python`` graders run, in a sandbox.
        isolation: how they are kept apart.
        limits: what they may use; OpenAI's limits when left out.
        embedder: the model that embeds texts for ``cosine``: ``"openai:text-embedding-3-large"``, ``"local:NAME"``.

    Raises:
        ConfigError: what the grader needs is not here, or not allowed.
        MissingExtraError: a library is not installed.
    """
    setting = grading_setting(allow_python=allow_python, isolation=isolation, limits=limits, embedder=embedder)
    grader.check(setting)
    grading = _Grading(grader, setting)
    parts = grader.graders if isinstance(grader, MultiGrader) else {}
    return (
        _metric(grading, grader, None, f"grade by {grader.type}"),
        *(_metric(grading, part, name, f"grade by {part.type}, part of {grader.name}") for name, part in parts.items()),
    )


class _Grading:
    """Grades the same rows once, however many metrics are read off them."""

    def __init__(self, grader: Grader, setting: GraderContext) -> None:
        self.grader, self._setting = grader, setting
        self._rows: Sequence[RowResult] | None = None
        self._grades: list[Grade | None] = []

    def grades(self, rows: Sequence[RowResult]) -> list[Grade | None]:
        """By row; None where the model could not be asked, so that there is nothing to grade."""
        if self._rows is not rows:
            self._refuse_without_columns(rows)
            asked = [row for row in rows if row.finish_reason != "error"]
            pairs = [
                (row.item, Sample(row.text, row.tool_calls or (), cast("tuple[Message, ...]", row.prompt)))
                for row in asked
            ]
            found = iter(self.grader.grade_many(pairs, self._setting) if pairs else [])
            self._grades = [None if row.finish_reason == "error" else next(found) for row in rows]
            self._rows = rows
        return self._grades

    def _refuse_without_columns(self, rows: Sequence[RowResult]) -> None:
        columns = self.grader.reads() or frozenset()
        missing = sorted(column for column in columns if rows and not any(column in row.item for row in rows))
        if missing:
            raise ConfigError(
                f'grader "{self.grader.name}" reads the column {", ".join(missing)}, which no row has. Columns are '
                "those of the data, and target is the wanted answer; a report keeps those that its graders read"
            )


@dataclass(frozen=True, kw_only=True)
class GraderMetric(RowMetric):
    """Grades all rows together."""

    grading: _Grading
    part: str | None

    def scores(self, rows: Sequence[RowResult]) -> list[float | None]:
        # A row that was not asked is wrong in every rate; on another scale 0 would say something else.
        unasked = 0.0 if self.unit == "rate" else None
        return [unasked if grade is None else self._of(grade) for grade in self.grading.grades(rows)]

    def failures(self, rows: Sequence[RowResult]) -> list[str | None]:
        if self.part is not None:  # told once, for the whole
            return [None] * len(rows)
        return [
            None if grade is None or grade.error is None else f"{grade.error}: {grade.detail}"
            for grade in self.grading.grades(rows)
        ]

    def _of(self, grade: Grade) -> float:
        return grade.reward if self.part is None else grade.parts[self.part]


def _metric(grading: _Grading, grader: Grader, part: str | None, description: str) -> GraderMetric:
    name = grading.grader.name if part is None else f"{grading.grader.name}:{part}"
    return GraderMetric(
        name=name,
        description=description,
        unit="rate" if grader.rates else "number",
        score=_together,
        grading=grading,
        part=part,
    )


def _together(row: RowResult) -> None:
    """Stands where a metric's function of one row would: these rows are graded together."""
