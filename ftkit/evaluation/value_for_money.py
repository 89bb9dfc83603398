"""Quality per dollar of two models on the same rows, with the interval of the difference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftkit.evaluation.metric_interval import value_interval
from ftkit.evaluation.metric_statistics import cluster_ids, metric_statistics
from ftkit.evaluation.metrics import RowMetric
from ftkit.evaluation.statistics import Estimate, cluster_sums, clustered_scores, mover_interval, score_interval
from ftkit.results.report import Report
from ftkit.results.report_row import RowResult
from ftkit.results.row_pairing import paired_rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["ValueForMoney", "value_for_money"]


@dataclass(frozen=True, slots=True)
class ValueForMoney:
    """What two models give for a dollar: the sum of the headline metric's scores by the cost of the answers.

    Attributes:
        what: what is counted, e.g. ``"right answers"``.
        before: of the first model, for one US dollar.
        after: of the second model.
        low: lower end of the interval of the difference.
        high: upper end.
    """

    what: str
    before: float
    after: float
    low: float
    high: float

    @property
    def difference(self) -> float:
        """How much more the second model gives for a dollar."""
        return self.after - self.before


def value_for_money(
    before: Report,
    after: Report,
    *,
    training_usd: float = 0.0,
    predictions: int | None = None,
    confidence: float = 0.95,
) -> ValueForMoney | None:
    """Compare the quality per dollar of two models.

    Each side has an interval, and the two are combined with the correlation over rows that are hard, or long, for both
    (MOVER; Zou and Donner 2008). A side's interval is the wider one of two: that of the ratio of scores and costs, and
    that of the scores by the mean cost, which has a width where every row is right.

    Args:
        before: the report of the first model.
        after: the report of the second model, on the same questions. Instructions and examples may differ.
        training_usd: what training the second model cost.
        predictions: number of answers that the cost of training is spread over; None leaves it out.
        confidence: confidence level of the interval.

    Returns:
        Both values and the interval of their difference; None if the cost of a model is not known or zero, if less of
        the metric is better, or if no row counts.
    """
    import numpy as np

    pairs = paired_rows(before, after, other_prompts=True)
    result = before[before.primary]
    counted = [pair for pair in pairs if all(row.scores.get(result.name) is not None for row in pair)]
    if not result.higher_is_better or not counted:
        return None
    sides = [[row for row, _ in counted], [row for _, row in counted]]
    shares = (0.0, 0.0 if predictions is None else training_usd / predictions)
    costs = [_costs(rows, report, share) for rows, report, share in zip(sides, (before, after), shares, strict=True)]
    clusters = cluster_ids(*sides)
    metric = RowMetric(name=result.name, description=result.description, unit=result.unit)
    estimates = []
    for rows, cost, sign in zip(sides, costs, (-1, 1), strict=True):
        if cost is None:
            return None
        scores = np.array([row.scores[result.name] for row in rows], dtype=np.float64)
        estimates.append(_estimate(metric, rows, scores, cost, clusters, confidence, sign))
    low, high = mover_interval(estimates)
    what = "right answers" if result.unit == "rate" else result.name
    return ValueForMoney(what, estimates[0].value, estimates[1].value, low, high)


def _estimate(
    metric: RowMetric,
    rows: Sequence[RowResult],
    scores: NDArray[np.float64],
    costs: NDArray[np.float64],
    clusters: NDArray[np.int64],
    confidence: float,
    sign: int,
) -> Estimate:
    value = float(scores.sum() / costs.sum())
    low, high = score_interval(clustered_scores(scores, costs / costs.mean(), clusters), confidence, None)
    of_scores = value_interval(metric_statistics(metric, rows, clusters), clusters, confidence)
    ends = [low, high, *(end for end in (of_scores.low, of_scores.high) if end is not None)]
    influence = cluster_sums((scores - value * costs)[:, None], clusters)[:, 0]
    return Estimate(value, min(ends) / float(costs.mean()), max(ends) / float(costs.mean()), sign, influence)


def _costs(rows: Sequence[RowResult], report: Report, share: float) -> NDArray[np.float64] | None:
    """Cost of each row: as each answer was priced, else an equal share of the whole."""
    import numpy as np

    total = report.cost.total_usd
    if not total:
        return None
    every = [row.cost_usd for row in report.rows if row.cost_usd is not None and not row.others]
    by_row = len(every) == len(report.rows) and abs(sum(every) - total) < 0.01 * total
    costs = [row.cost_usd or 0.0 for row in rows] if by_row else [total / len(report.rows)] * len(rows)
    return np.array(costs, dtype=np.float64) + share
