"""What a metric is: a number over all rows of a report, and collections of metrics that depend on the task."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from ftkit.errors import ConfigError
from ftkit.results.metric_result import Unit
from ftkit.results.report_row import RowResult
from ftkit.schema import Output
from ftkit.schema.comparators import Comparator

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "Metric",
    "MetricCollection",
    "MetricContext",
    "Ratio",
    "RatioMetric",
    "RowMetric",
    "ScoreFunction",
    "identity",
    "row_metric",
]

ScoreFunction = Callable[[RowResult], float | bool | None]
"""Scores one row; ``None`` leaves the row out of the metric."""


def identity(ratio: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a ratio unchanged.

    Args:
        ratio: the ratio, any shape.

    Returns:
        The ratio.
    """
    return ratio


@dataclass(frozen=True)
class Ratio:
    """A ratio of two sums of statistics.

    Attributes:
        numerator: column of the statistics.
        denominator: column of the statistics.
        weight: factor of the ratio in the metric.
        transform: increasing function of the ratio that the metric contains.
    """

    numerator: int
    denominator: int
    weight: float = 1.0
    transform: Callable[[NDArray[np.float64]], NDArray[np.float64]] = identity


@dataclass(frozen=True, kw_only=True)
class Metric(ABC):
    """A number over all rows, computed from sums of per-row statistics.

    Because it depends on the rows through sums alone, every metric is clustered and paired by the same
    code.
    """

    name: str
    description: str
    """One sentence for the report: what is counted, and among what."""
    higher_is_better: bool = True
    unit: Unit = "rate"
    headline_rank: int = 0
    """The metric with the highest rank leads the report; among equals, the first."""

    @property
    def columns(self) -> frozenset[str] | None:
        """Columns of the data that the metric reads, which the report then keeps; None keeps all columns."""
        return frozenset()

    @abstractmethod
    def statistics(self, row: RowResult) -> tuple[float, ...]:
        """Return what a row adds to the sums.

        Args:
            row: a row with its answer.

        Returns:
            k numbers, the same k for every row; all zeros leave the row out.
        """

    def ratios(self, sums: NDArray[np.float64]) -> tuple[Ratio, ...]:
        """Name the ratios whose weighted sum the metric is, for intervals that hold where nothing varies.

        Args:
            sums: sums of the rows' statistics, shape ``[k]``.

        Returns:
            The ratios; none if the metric is no sum of ratios. Its interval then comes from the jackknife.
        """
        return ()

    def no_interval(self, sums: NDArray[np.float64]) -> str:
        """Say why the metric has no interval.

        Args:
            sums: sums of the rows' statistics, shape ``[k]``.

        Returns:
            The reason; empty if there is an interval.
        """
        return ""

    @abstractmethod
    def compute(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """Compute the metric from sums of the rows' statistics.

        Args:
            sums: shape ``[..., k]``; the leading dimensions are e.g. the rows left out.

        Returns:
            The metric, shape ``[...]``; NaN where it is not defined.
        """


@dataclass(frozen=True, kw_only=True)
class RatioMetric(Metric):
    """A metric with two statistics per row, a numerator and a denominator; its value is the ratio of their sums."""

    @override
    def ratios(self, sums: NDArray[np.float64]) -> tuple[Ratio, ...]:
        return (Ratio(0, 1),)

    @override
    def compute(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        import numpy as np

        numerator, denominator = sums[..., 0], sums[..., 1]
        undefined = np.full(np.shape(denominator), np.nan)
        ratio = np.divide(numerator, denominator, out=undefined, where=denominator > 0)
        return self.ratios(sums)[0].transform(ratio)


def _no_score(row: RowResult) -> None:
    """The default of metrics that score all rows together."""


@dataclass(frozen=True, kw_only=True)
class RowMetric(RatioMetric):
    """The mean of a score that each row has.

    Give ``score``, or override :meth:`scores` if scoring all rows in one call is faster.
    """

    score: ScoreFunction = _no_score

    def row_score(self, row: RowResult) -> float | None:
        """Score one row and check the result.

        Args:
            row: a row with its answer.

        Returns:
            The score, or None if the metric leaves the row out.

        Raises:
            ConfigError: the function returned no finite number, or a rate outside 0 to 1.
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
                f'For another scale register it with @metric("{self.name}", unit="number").'
            )
        return number

    def scores(self, rows: Sequence[RowResult]) -> list[float | None]:
        """Score every row.

        Args:
            rows: rows with their answers.

        Returns:
            One score for each row, in order; None leaves the row out.
        """
        return [self.row_score(row) for row in rows]

    def failures(self, rows: Sequence[RowResult]) -> list[str | None]:
        """Say which rows could not be scored and therefore count 0.

        Args:
            rows: the same rows as for :meth:`scores`.

        Returns:
            For each row the reason, or None if it was scored. Plain functions never fail.
        """
        return [None] * len(rows)

    @override
    def statistics(self, row: RowResult) -> tuple[float, ...]:
        score = row.scores[self.name] if self.name in row.scores else self.row_score(row)
        return (0.0, 0.0) if score is None else (score, 1.0)


@dataclass(frozen=True)
class MetricContext:
    """What a collection's metrics may depend on.

    Attributes:
        output: the task's output.
        rows: the rows with their answers.
        comparators: comparators by field of a JSON output.
    """

    output: Output
    rows: tuple[RowResult, ...]
    comparators: Mapping[str, Comparator] = field(default_factory=dict)


class MetricCollection(ABC):
    """Metrics that depend on the task, e.g. one for each field of its output."""

    automatic: ClassVar[bool] = False
    """Whether ``metrics="auto"`` includes them."""

    @abstractmethod
    def metrics(self, context: MetricContext) -> tuple[Metric, ...]:
        """Return the metrics for a task and its answers.

        Args:
            context: the output, the answered rows, the comparators.

        Returns:
            The metrics; none if the collection does not apply.
        """


def row_metric(
    score: ScoreFunction,
    name: str,
    *,
    description: str | None = None,
    higher_is_better: bool = True,
    unit: Unit = "rate",
) -> RowMetric:
    """Make a metric of a function of one row.

    Args:
        score: the function.
        name: the metric's name.
        description: one sentence for the report; by default the first line of the function's docstring.
        higher_is_better: which direction is good, for verdicts.
        unit: ``"rate"`` for scores between 0 and 1, else ``"number"``.

    Returns:
        The metric.
    """
    lines = (score.__doc__ or "").strip().splitlines()
    sentence = description or (lines[0] if lines else f"mean of {name} over the rows")
    return RowMetric(name=name, description=sentence, higher_is_better=higher_is_better, unit=unit, score=score)
