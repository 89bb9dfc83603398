"""Whether more data would help: train on parts of the rows, see how the error falls, and draw the line further."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict

from ftkit.backends import Backend
from ftkit.data import Dataset
from ftkit.errors import ConfigError
from ftkit.evaluation.evaluator import evaluate
from ftkit.evaluation.scoring import cluster_ids
from ftkit.evaluation.statistics import cluster_sums, resample
from ftkit.recipe import Recipe
from ftkit.results.number_format import change_text, count_text, value_text
from ftkit.results.report import Report
from ftkit.results.result import Result
from ftkit.results.row_pairing import paired_rows
from ftkit.runs import train

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["LearningCurve", "fit_curve", "learning_curve"]

WORTH = 0.01
"""A gain of one point, below which twice the data is not worth it."""

_DRAWS = 2_000


class LearningCurve(Result, BaseModel):
    """Value of the headline metric by the number of training rows, and the power law through its errors.

    ``1 - value = a · rows^-b``: a straight line on logarithmic axes (Hestness et al. 2017, arXiv:1712.00409). It knows
    no floor, so it promises too much where labels themselves are noisy. Intervals are those of the held-out rows; that
    another draw of training rows, or another seed, would end elsewhere is not in them.
    """

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    metric: str
    rows: tuple[int, ...]
    values: tuple[float, ...]
    exponent: float
    """``b``: 0.3 means that ten times the rows halve the error."""
    exponent_low: float
    exponent_high: float
    doubled: float
    """What the line gives for twice the rows."""
    doubled_low: float
    doubled_high: float
    gain_low: float
    """Interval of the gain from all rows to twice as many, along the line."""
    gain_high: float
    verdict: Literal["more data would help", "more data would hardly help", "cannot tell"]

    def __str__(self) -> str:
        points = ", ".join(
            f"{count_text(n)} rows {value_text(v, 'rate')}" for n, v in zip(self.rows, self.values, strict=True)
        )
        return (
            f"{self.verdict.upper()}. {self.metric}: {points}. The error falls with rows^-{self.exponent:.2f} "
            f"({self.exponent_low:.2f} to {self.exponent_high:.2f}); {count_text(2 * self.rows[-1])} rows would give "
            f"{value_text(self.doubled, 'rate')} ({value_text(self.doubled_low, 'rate')} to "
            f"{value_text(self.doubled_high, 'rate')}), a change of {change_text(self.gain_low, 'rate')} to "
            f"{change_text(self.gain_high, 'rate')} points."
        )


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
    """Train on growing parts of ``data`` (each holds the smaller ones), measure each, and fit the curve.

    Args:
        recipe: what to train, the same each time.
        data: the training rows.
        test: the held-out rows.
        backend: where to train.
        fractions: of the rows, growing; at least three.
        seed: of the order in which rows are taken, and of the intervals.
        options: as for :func:`ftkit.evaluate`; without probes unless they are named.

    Raises:
        ConfigError: fewer than three fractions, or they do not grow within 0 to 1.
    """
    if len(fractions) < 3 or list(fractions) != sorted(set(fractions)) or not fractions[0] > 0 or fractions[-1] > 1:
        raise ConfigError(f"fractions must be at least three growing numbers above 0 and up to 1, not {fractions}")
    asked = {"probes": None, **options}  # these models are made to be thrown away
    mixed = data.shuffle(seed)
    reports = []
    for fraction in fractions:
        part = mixed.take(max(1, round(fraction * len(data))))
        run = train(recipe, part, backend=backend).wait()
        reports.append((len(part), evaluate(run.model, test, label=f"{len(part)} rows", seed=seed, **asked)))
    return fit_curve(reports, seed=seed)


def fit_curve(reports: Sequence[tuple[int, Report]], *, seed: int = 0) -> LearningCurve:
    """Fit the curve to reports of models that were trained on so many rows, all on the same held-out rows.

    Raises:
        ConfigError: fewer than three reports, or their headline is no rate of single rows.
        ReportError: the held-out rows differ.
    """
    import numpy as np

    if len(reports) < 3:
        raise ConfigError(f"a learning curve takes at least three points, not {len(reports)}")
    ordered = sorted(reports, key=lambda one: one[0])
    first = ordered[0][1]
    name = first.primary
    columns = []
    for _, report in ordered:
        scores = [two.scores.get(name) for _, two in paired_rows(first, report)]
        if first[name].unit != "rate" or any(score is None for score in scores):
            raise ConfigError(f"a learning curve needs a rate that every row has a score for; {name} is none")
        columns.append([float(score or 0.0) for score in scores])
    tallies = np.column_stack([*columns, np.ones(len(first.rows))])
    sums = cluster_sums(tallies, cluster_ids(first.rows))
    sizes = np.array([float(rows) for rows, _ in ordered])
    total = sums.sum(axis=0, keepdims=True)
    (exponent,), (doubled,), _ = _fit(total, sizes)
    exponents, ends, gains = _fit(resample(sums, seed=seed, draws=_DRAWS), sizes)
    (b_low, b_high), (low, high), (g_low, g_high) = (
        np.quantile(one, [0.025, 0.975]) for one in (exponents, ends, gains)
    )
    verdict: Literal["more data would help", "more data would hardly help", "cannot tell"] = "cannot tell"
    if g_low > WORTH:
        verdict = "more data would help"
    elif g_high < WORTH:
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
    """Exponent, value at twice the largest size and gain up to there, for each row of ``sums`` (draws, points + 1)."""
    import numpy as np

    rows = sums[:, -1:]
    # Half a row more on either side, so that an error of none has a logarithm; weights are the delta method's.
    error = (rows - sums[:, :-1] + 0.5) / (rows + 1)
    weights = rows * error / (1 - error)
    x, y = np.log(sizes)[None, :], np.log(error)
    total = weights.sum(axis=1, keepdims=True)
    x_mean, y_mean = (weights * x).sum(axis=1, keepdims=True) / total, (weights * y).sum(axis=1, keepdims=True) / total
    slope = (weights * (x - x_mean) * (y - y_mean)).sum(axis=1) / (weights * (x - x_mean) ** 2).sum(axis=1)
    slope = np.minimum(slope, 0.0)  # more rows are not expected to harm

    def at(size: float) -> NDArray[np.float64]:
        found: NDArray[np.float64] = 1 - np.exp(np.minimum(y_mean[:, 0] + slope * (math.log(size) - x_mean[:, 0]), 0.0))
        return found

    most = float(sizes[-1])
    return -slope, at(2 * most), at(2 * most) - at(most)
