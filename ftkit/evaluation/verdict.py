"""The verdict of a paired comparison, and how many rows an inconclusive one would need."""

from __future__ import annotations

from dataclasses import dataclass

from ftkit.evaluation.statistics import rows_for_margin, rows_for_zero_change
from ftkit.results.metric_result import MetricChange, Unit, Verdict
from ftkit.results.number_format import change_text, count_text, margin_text, percent_text, value_text

__all__ = ["POWER", "Improvement", "rows_needed", "sentence", "verdict_of"]

POWER = 0.8
"""Probability of reaching the verdict with the number of rows that :func:`rows_needed` names."""


@dataclass(frozen=True)
class Improvement:
    """A change with its interval, with the sign chosen so that positive means better.

    Attributes:
        values: the metric before and after, with their own sign.
        change: after minus before, negated if lower is better.
        low: lower end of its interval.
        high: upper end of its interval.
        p_value: p value of the test of no change; None if there is no test.
        variance: variance of one row's difference, times the design effect if rows are grouped.
        rows: number of rows.
    """

    values: tuple[float, float]
    change: float
    low: float
    high: float
    p_value: float | None
    variance: float
    rows: int

    @classmethod
    def of_change(cls, change: MetricChange, p_value: float | None) -> Improvement | None:
        """Orient the change of a metric so that positive means better.

        Args:
            change: the change, with its interval.
            p_value: the p value to decide by.

        Returns:
            The improvement; None if the change has no interval.
        """
        if change.before is None or change.after is None or change.low is None or change.high is None:
            return None
        difference, low, high = change.after - change.before, change.low, change.high
        if not change.higher_is_better:
            difference, low, high = -difference, -high, -low
        values, variance = (change.before, change.after), change.row_variance or 0.0
        return cls(values, difference, low, high, p_value, variance, change.n)


def verdict_of(improvement: Improvement, *, margin: float | None, confidence: float) -> Verdict:
    """Decide the verdict: ``better`` is tried before ``non-inferior``, and that before ``worse``.

    ``better`` and ``worse`` need an interval without 0 and, if there is a test, a p value of at most
    ``1 - confidence``. A loss that is significant but within the margin is ``non-inferior``, because the margin states
    which loss is acceptable.

    Args:
        improvement: the change of the headline metric.
        margin: the largest acceptable loss; None if none was set.
        confidence: confidence level of the interval.

    Returns:
        The verdict.
    """
    significant = improvement.p_value is None or improvement.p_value <= 1 - confidence
    if improvement.low > 0 and significant:
        return "better"
    if margin is not None and improvement.low > -margin:
        return "non-inferior"
    if improvement.high < 0 and significant:
        return "worse"
    return "inconclusive"


def rows_needed(improvement: Improvement, *, margin: float | None, confidence: float, unit: Unit) -> int | None:
    """Estimate how many rows like these would settle an inconclusive comparison with a power of 80 %.

    The estimate assumes that the observed change is the true one. With a margin it is the number of rows that shows
    the loss to be smaller, not relying on an observed improvement; without, the number that shows the change.

    Args:
        improvement: the change of the headline metric.
        margin: the largest acceptable loss; None if none was set.
        confidence: confidence level of the interval.
        unit: unit of the metric.

    Returns:
        Number of rows; None if no number is likely to settle it: the loss is beyond the margin, or there is no change.
    """
    gap = abs(improvement.change) if margin is None else margin + min(improvement.change, 0.0)
    if gap <= 1e-9:
        return None
    needed = rows_for_margin(improvement.variance, gap, confidence, POWER)
    if margin is not None and unit == "rate":
        needed = max(needed, rows_for_zero_change(margin, confidence))
    return max(needed, improvement.rows + 1)


def sentence(
    verdict: Verdict,
    improvement: Improvement,
    *,
    names: tuple[str, str],
    metric: str,
    unit: Unit,
    margin: float | None,
    confidence: float,
    needed: int | None,
) -> str:
    """Write the verdict with its numbers.

    Args:
        verdict: the verdict.
        improvement: the change of the headline metric.
        names: what the two models are called.
        metric: name of the headline metric.
        unit: its unit.
        margin: the largest acceptable loss; None if none was set.
        confidence: confidence level of the interval.
        needed: rows that an inconclusive comparison would need, if known.

    Returns:
        One or two sentences.
    """
    before, after = names
    values = improvement.values
    points = " points" if unit == "rate" else ""
    facts = (
        f"{metric} {value_text(values[0], unit)} → {value_text(values[1], unit)}, "
        f"{change_text(values[1] - values[0], unit)}{points} "
        f"(gain between {change_text(improvement.low, unit)} and {change_text(improvement.high, unit)} at "
        f"{percent_text(confidence)} confidence, {count_text(improvement.rows)} rows)."
    )
    limit = "" if margin is None else margin_text(margin, unit)
    if verdict == "better":
        return f"{after} is better than {before}: {facts}"
    if verdict == "worse":
        beyond = "" if margin is None else f" The loss is not shown to be within the margin of {limit}."
        return f"{after} is worse than {before}: {facts}{beyond}"
    if verdict == "non-inferior":
        return f"{after} is non-inferior to {before} within {limit}: {facts}"
    what = "that the loss is" if margin is not None else "which is better"
    limits = f" within {limit}" if margin is not None else ""
    head = f"These rows cannot show {what}{limits}: {facts}"
    if needed is not None:
        return f"{head} About {count_text(needed)} rows like these would, with {percent_text(POWER)} power."
    if margin is not None:
        return f"{head} The observed loss is at least the margin, so more rows are unlikely to help."
    return f"{head} No change was observed; give a margin to ask whether they are equally good."
