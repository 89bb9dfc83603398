"""Whether a model's answers depend on the rows that they answer.

A verdict of equality needs a metric that could have shown a loss. It could not if the answers score no more on their
own rows than on other rows: whoever ignores the row then loses nothing. In trials of non-inferiority this is assay
sensitivity (ICH E10, section 1.5; D'Agostino, Massaro and Sullivan, Statistics in Medicine 22:169, 2003).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ftkit.evaluation.metrics import MetricContext, RowMetric, select_metrics
from ftkit.results.report import Report
from ftkit.results.report_row import RowResult

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["depends_on_rows"]

_MOST_ROWS = 400
_SHIFTS = (1, 7, 31, 101, 211)
"""By how many rows the answers are moved; each row is scored with that many answers of others."""
_QUANTILE = 1.6448536269514722
"""Of the normal distribution, for a one-sided test at 5 %."""
_ANSWER = ("text", "value", "readable", "problems", "tool_calls", "finish_reason", "error", "logprob")
"""Fields of a row that belong to its answer."""


def depends_on_rows(report: Report, metric: str) -> bool | None:
    """Test whether answers score more on their own rows than on other rows.

    Args:
        report: The report on the answers.
        metric: The metric; only metrics that ``"auto"`` selects are computed again, because graders cost time or money.

    Returns:
        Whether they do, by a one-sided test at 5 %; None if that is not known, or if the metric reads the answer alone,
        such as ``parse_rate``: it says nothing of the row, and does not claim to.
    """
    import numpy as np

    step = max(1, -(-len(report.rows) // _MOST_ROWS))
    rows = [row.model_copy(update={"others": ()}) for row in report.rows[::step] if row.finish_reason != "error"]
    context = MetricContext(report.output, report.rows, report.comparators)
    scored = next((each for each in select_metrics("auto", context) if each.name == metric), None)
    if not isinstance(scored, RowMetric) or len(rows) < 2 or not _reads_target(scored, rows):
        return None
    sign = 1.0 if scored.higher_is_better else -1.0
    own = _scores(scored, rows)
    moved = [_scores(scored, _moved(rows, shift)) for shift in _SHIFTS if shift % len(rows)]
    differences = sign * (own - np.nanmean(np.stack(moved), axis=0))
    differences = differences[~np.isnan(differences)]
    if len(differences) < 2:
        return None
    error = float(differences.std(ddof=1)) / len(differences) ** 0.5
    return bool(differences.mean() > _QUANTILE * error + 1e-9)


def _reads_target(metric: RowMetric, rows: Sequence[RowResult]) -> bool:
    """Whether a metric compares answers with what is wanted: it then leaves out rows that want nothing."""
    nothing = {"has_target": False, "target": None, "target_tool_calls": None}
    return all(score is None for score in metric.scores([row.model_copy(update=nothing) for row in rows]))


def _scores(metric: RowMetric, rows: Sequence[RowResult]) -> NDArray[np.float64]:
    import numpy as np

    return np.array([np.nan if score is None else score for score in metric.scores(rows)], dtype=np.float64)


def _moved(rows: Sequence[RowResult], shift: int) -> list[RowResult]:
    """The rows, each with the answer to the row that is so many places further."""
    return [
        row.model_copy(update={name: getattr(rows[(index + shift) % len(rows)], name) for name in _ANSWER})
        for index, row in enumerate(rows)
    ]
