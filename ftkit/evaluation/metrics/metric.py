"""What a metric is, and the list of those that users add."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftkit.errors import ConfigError
from ftkit.results.metric_result import Unit
from ftkit.results.report_row import RowResult

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["REGISTERED", "Metric", "RatioMetric", "RowMetric", "ScoreFunction", "metric", "row_metric"]


ScoreFunction = Callable[[RowResult], float | bool | None]
"""Scores one row; ``None`` leaves the row out of the metric."""


@dataclass(frozen=True, kw_only=True)
class Metric(ABC):
    """A number over all rows: each row gives a tally, tallies are summed, and the number is made from the sums.

    This form lets every metric be bootstrapped, clustered and paired in the same way.
    """

    name: str
    description: str
    """One sentence for the report: what is counted, among what."""
    higher_is_better: bool = True
    unit: Unit = "rate"

    @abstractmethod
    def tally(self, row: RowResult) -> tuple[float, ...]:
        """What the row adds to the sums; all zeros leaves it out."""

    @abstractmethod
    def combine(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """The number, from sums of shape (…, k) to shape (…); ``nan`` where it is not defined."""


@dataclass(frozen=True, kw_only=True)
class RatioMetric(Metric):
    """A metric whose tally is ``(part, whole)`` and whose number is the share of the parts."""

    def combine(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        import numpy as np

        part, whole = sums[..., 0], sums[..., 1]
        share: NDArray[np.float64] = np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0)
        return share


@dataclass(frozen=True, kw_only=True)
class RowMetric(RatioMetric):
    """The mean of a score that each row has by itself."""

    score: ScoreFunction

    def of(self, row: RowResult) -> float | None:
        """The row's score.

        Raises:
            ConfigError: the function gave no number, or a rate that is not between 0 and 1.
        """
        score = self.score(row)
        if score is None:
            return None
        try:
            number = float(score)
        except (TypeError, ValueError):
            number = math.nan
        if not math.isfinite(number):
            raise ConfigError(f'metric "{self.name}": {score!r} for row {row.id} ({row.place}) is no finite number')
        if self.unit == "rate" and not 0.0 <= number <= 1.0:
            raise ConfigError(
                f'metric "{self.name}": {number:g} for row {row.id} ({row.place}), but a rate is between 0 and 1. '
                f'Register it with @metric("{self.name}", unit="number") if that is meant.'
            )
        return number

    def scores(self, rows: Sequence[RowResult]) -> list[float | None]:
        """The score of every row, in order. Metrics that do better with all rows at hand at once override this."""
        return [self.of(row) for row in rows]

    def failures(self, rows: Sequence[RowResult]) -> list[str | None]:
        """Why a row counts 0 though nobody could say so, in order; of plain functions never."""
        return [None] * len(rows)

    def tally(self, row: RowResult) -> tuple[float, ...]:
        score = row.scores[self.name] if self.name in row.scores else self.of(row)
        return (0.0, 0.0) if score is None else (score, 1.0)


REGISTERED: dict[str, RowMetric] = {}
"""Metrics that users registered with :func:`metric`, by name."""


def metric(
    name: str, *, description: str | None = None, higher_is_better: bool = True, unit: Unit = "rate"
) -> Callable[[ScoreFunction], RowMetric]:
    """Register a function of one row as a metric, to be named in ``evaluate(metrics=[...])``.

        @metric("polite")
        def polite(row: RowResult) -> bool:
            return "please" in row.text

    Args:
        name: not yet taken.
        description: one sentence for the report; the function's docstring when left out.
        higher_is_better: which way is good, for verdicts.
        unit: ``"rate"`` for scores between 0 and 1, else ``"number"``.

    Raises:
        ConfigError: another function has the name.
    """

    def register(score: ScoreFunction) -> RowMetric:
        taken = REGISTERED.get(name)
        # The same function defined again is a notebook cell run twice, not a clash.
        if taken is not None and _origin(taken.score) != _origin(score):
            raise ConfigError(f'a metric "{name}" is registered already; choose another name')
        made = row_metric(score, name, description=description, higher_is_better=higher_is_better, unit=unit)
        REGISTERED[name] = made
        return made

    return register


def row_metric(
    score: ScoreFunction,
    name: str,
    *,
    description: str | None = None,
    higher_is_better: bool = True,
    unit: Unit = "rate",
) -> RowMetric:
    """A metric of a plain function; its docstring's first line says what it counts."""
    lines = (score.__doc__ or "").strip().splitlines()
    sentence = description or (lines[0] if lines else f"mean of {name} over the rows")
    return RowMetric(name=name, description=sentence, higher_is_better=higher_is_better, unit=unit, score=score)


def _origin(score: ScoreFunction) -> tuple[str, str]:
    return getattr(score, "__module__", ""), getattr(score, "__qualname__", repr(score))
