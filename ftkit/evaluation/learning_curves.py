"""Learning curves: train on growing parts of the data and extrapolate the error by a power law."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict

from ftkit.arguments import explain_calls
from ftkit.backends import Backend
from ftkit.counts import counted
from ftkit.data import Dataset
from ftkit.errors import ConfigError
from ftkit.evaluation.answer_journal import answers_kept
from ftkit.evaluation.evaluator import evaluate
from ftkit.evaluation.metric_statistics import cluster_ids
from ftkit.evaluation.statistics import cluster_sums, resample
from ftkit.recipe import Recipe
from ftkit.results.number_format import change_text, value_text
from ftkit.results.report import Report
from ftkit.results.result import Result
from ftkit.results.row_pairing import paired_rows
from ftkit.runs import train

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["LearningCurve", "fit_curve", "learning_curve"]

MIN_IMPROVEMENT = 0.01
"""Smallest improvement that makes twice the data worthwhile: one point."""

_DRAWS = 2_000


class LearningCurve(Result, BaseModel):
    """The headline metric by number of training rows, and a power law fitted to its errors.

    ``1 - value = a · rows^-b``, a straight line on logarithmic axes (Hestness et al. 2017, arXiv:1712.00409). The law
    has no floor, so it is too optimistic if labels are noisy. Intervals cover the sampling of held-out rows, but not
    the choice of training rows or the seed of training.
    """

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    metric: str
    rows: tuple[int, ...]
    values: tuple[float, ...]
    exponent: float
    """``b``; 0.3 means that ten times the rows halve the error."""
    exponent_low: float
    exponent_high: float
    doubled: float
    """Predicted value for twice the rows."""
    doubled_low: float
    doubled_high: float
    gain_low: float
    """Lower end of the interval of the predicted improvement from all rows to twice as many."""
    gain_high: float
    verdict: Literal["more data would help", "more data would hardly help", "cannot tell"]

    def __str__(self) -> str:
        points = ", ".join(
            f"{counted(n, 'row')} {value_text(v, 'rate')}" for n, v in zip(self.rows, self.values, strict=True)
        )
        return (
            f"{self.verdict.upper()}. {self.metric}: {points}. The error falls with rows^-{self.exponent:.2f} "
            f"({self.exponent_low:.2f} to {self.exponent_high:.2f}); {counted(2 * self.rows[-1], 'row')} would give "
            f"{value_text(self.doubled, 'rate')} ({value_text(self.doubled_low, 'rate')} to "
            f"{value_text(self.doubled_high, 'rate')}), a change of {change_text(self.gain_low, 'rate')} to "
            f"{change_text(self.gain_high, 'rate')} points."
        )


@explain_calls(instead='ft.learning_curve(recipe, data, test, backend="local:smollm2-135m")')
@answers_kept()
def learning_curve(
    recipe: Recipe,
    data: Dataset,
    test: Dataset,
    backend: str | Backend,
    *,
    fractions: Sequence[float] = (0.125, 0.25, 0.5, 1.0),
    seed: int = 0,
    **options: Any,
) -> LearningCurve:
    """Train on growing parts of the data, evaluate each model, and fit the curve.

    Each part contains the smaller ones.

    Args:
        recipe: the recipe, the same each time.
        data: the training rows.
        test: the held-out rows.
        backend: where to train.
        fractions: shares of the rows in increasing order; at least three.
        seed: seed of the order in which rows are taken, and of the intervals.
        options: as for :func:`ftkit.evaluate`; without probes unless they are given.

    Returns:
        The curve.

    Raises:
        ConfigError: fewer than three fractions, or they do not increase within 0 to 1.
    """
    if len(fractions) < 3 or list(fractions) != sorted(set(fractions)) or not fractions[0] > 0 or fractions[-1] > 1:
        raise ConfigError(f"fractions must be at least three growing numbers above 0 and up to 1, not {fractions}")
    options = {"probes": None, **options}
    shuffled = data.shuffle(seed)
    reports = []
    for fraction in fractions:
        part = shuffled.take(max(1, round(fraction * len(data))))
        run = train(recipe, part, backend=backend).wait()
        reports.append(
            (len(part), evaluate(run.model, test, label=f"{counted(len(part), 'row')}", seed=seed, **options))
        )
    return fit_curve(reports, seed=seed)


def fit_curve(reports: Sequence[tuple[int, Report]], *, seed: int = 0) -> LearningCurve:
    """Fit a learning curve to reports on the same held-out rows.

    Args:
        reports: at least three pairs of the number of training rows and the model's report.
        seed: seed of the bootstrap.

    Returns:
        The curve.

    Raises:
        ConfigError: fewer than three reports, or their headline metric is not a rate that scores single rows.
        ReportError: the held-out rows differ.
    """
    import numpy as np

    if len(reports) < 3:
        raise ConfigError(f"a learning curve takes at least three points, not {len(reports)}")
    ordered = sorted(reports, key=lambda pair: pair[0])
    first = ordered[0][1]
    name = first.primary
    columns = []
    for _, report in ordered:
        scores = [row.scores.get(name) for _, row in paired_rows(first, report)]
        if first[name].unit != "rate" or any(score is None for score in scores):
            raise ConfigError(f"a learning curve needs a rate that every row has a score for; {name} is none")
        if not first[name].higher_is_better:
            raise ConfigError(f"a learning curve needs a rate of what is right; {name} is better when it is lower")
        columns.append([float(score or 0.0) for score in scores])
    tallies = np.column_stack([*columns, np.ones(len(first.rows))])
    sums = cluster_sums(tallies, cluster_ids(first.rows))
    sizes = np.array([float(rows) for rows, _ in ordered])
    total = sums.sum(axis=0, keepdims=True)
    (exponent,), (doubled,), _ = _fit(total, sizes)
    exponents, ends, gains = _fit(resample(sums, seed=seed, draws=_DRAWS), sizes)
    (b_low, b_high), (low, high), (g_low, g_high) = (
        np.quantile(each, [0.025, 0.975]) for each in (exponents, ends, gains)
    )
    verdict: Literal["more data would help", "more data would hardly help", "cannot tell"] = "cannot tell"
    if g_low > MIN_IMPROVEMENT:
        verdict = "more data would help"
    elif g_high < MIN_IMPROVEMENT:
        verdict = "more data would hardly help"
    return LearningCurve(
        metric=name,
        rows=tuple(rows for rows, _ in ordered),
        values=tuple(float(value) for value in total[0, :-1] / total[0, -1]),
        exponent=float(exponent),
        exponent_low=float(b_low),
        exponent_high=float(b_high),
        doubled=float(doubled),
        doubled_low=float(low),
        doubled_high=float(high),
        gain_low=float(g_low),
        gain_high=float(g_high),
        verdict=verdict,
    )


def _fit(
    sums: NDArray[np.float64], sizes: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Fit by weighted least squares: exponent, value at twice the largest size, and the improvement up to there."""
    # sums has shape [draws, points + 1]; each result has shape [draws].
    import numpy as np

    rows = sums[:, -1:]
    # Half a row is added on either side, so that an error of 0 has a logarithm. Weights follow the delta method.
    error = (rows - sums[:, :-1] + 0.5) / (rows + 1)
    weights = rows * error / (1 - error)
    x, y = np.log(sizes)[None, :], np.log(error)
    total = weights.sum(axis=1, keepdims=True)
    x_mean, y_mean = (weights * x).sum(axis=1, keepdims=True) / total, (weights * y).sum(axis=1, keepdims=True) / total
    slope = (weights * (x - x_mean) * (y - y_mean)).sum(axis=1) / (weights * (x - x_mean) ** 2).sum(axis=1)
    slope = np.minimum(slope, 0.0)  # more rows are assumed not to harm

    def at(size: float) -> NDArray[np.float64]:
        log_error = np.minimum(y_mean[:, 0] + slope * (math.log(size) - x_mean[:, 0]), 0.0)
        value: NDArray[np.float64] = 1 - np.exp(log_error)
        return value

    largest = float(sizes[-1])
    return -slope, at(2 * largest), at(2 * largest) - at(largest)
