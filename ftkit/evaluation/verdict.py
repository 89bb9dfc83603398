"""What a paired comparison says in one word, and how many rows it would take when it says nothing."""

from __future__ import annotations

from dataclasses import dataclass

from ftkit.evaluation.statistics import rows_for_margin, rows_for_zero_change
from ftkit.results.metric_result import MetricChange, Unit, Verdict
from ftkit.results.number_format import change_text, count_text, margin_text, percent_text, value_text

__all__ = ["POWER", "Gain", "rows_needed", "sentence", "verdict_of"]


POWER = 0.8
"""Chance of reaching the verdict with the number of rows that is named as needed."""


@dataclass(frozen=True)
class Gain:
    """A change, turned so that up is good, with its interval.

    Attributes:
        values: of the metric before and after, not turned.
        p_value: of the test of no change, where there is one.
        variance: of one row's difference, times the design effect where rows are grouped.
    """

    values: tuple[float, float]
    change: float
    low: float
    high: float
    p_value: float | None
    variance: float
    rows: int

    @classmethod
    def of(
        cls,
        values: tuple[float, float],
        interval: tuple[float, float],
        *,
        higher_is_better: bool,
        p_value: float | None,
        variance: float,
        rows: int,
    ) -> Gain:
        """Turn a change with its interval when lower is better."""
        change, (low, high) = values[1] - values[0], interval
        if not higher_is_better:
            change, low, high = -change, -high, -low
        return cls(values, change, low, high, p_value, variance, rows)

    @classmethod
    def of_change(cls, change: MetricChange, p_value: float | None) -> Gain | None:
        """Turn the change of a metric so that up is good.

        Args:
            change: the change, with its interval.
            p_value: the p value to decide by.

        Returns:
            The gain; None when the change has no interval.
        """
        if change.before is None or change.after is None or change.low is None or change.high is None:
            return None
        return cls.of(
            (change.before, change.after),
            (change.low, change.high),
            higher_is_better=change.higher_is_better,
            p_value=p_value,
            variance=change.row_variance or 0.0,
            rows=change.n,
        )


def verdict_of(gain: Gain, *, margin: float | None, confidence: float) -> Verdict:
    """The verdict: ``better`` goes before ``non-inferior``, which goes before ``worse``.

    ``better`` and ``worse`` take both an interval without 0 and, where there is a test, a p value of at most
    ``1 - confidence``. A loss that is beyond chance and yet within the margin is ``non-inferior``: that is what the
    margin was set for.
    """
    beyond_chance = gain.p_value is None or gain.p_value <= 1 - confidence
    if gain.low > 0 and beyond_chance:
        return "better"
    if margin is not None and gain.low > -margin:
        return "non-inferior"
    if gain.high < 0 and beyond_chance:
        return "worse"
    return "inconclusive"


def rows_needed(gain: Gain, *, margin: float | None, confidence: float, unit: Unit) -> int | None:
    """Rows like these that would settle an inconclusive comparison with 80 % power, if the change stays as it is.

    With a margin: to show that the loss is smaller (a gain seen so far is not relied on). Without: to show the change.
    ``None`` when no number of rows is likely to: the loss is beyond the margin, or there is no change to show.
    """
    gap = abs(gain.change) if margin is None else margin + min(gain.change, 0.0)
    if gap <= 1e-9:
        return None
    needed = rows_for_margin(gain.variance, gap, confidence, POWER)
    if margin is not None and unit == "rate":
        needed = max(needed, rows_for_zero_change(margin, confidence))
    return max(needed, gain.rows + 1)


def sentence(
    verdict: Verdict,
    gain: Gain,
    *,
    names: tuple[str, str],
    metric: str,
    unit: Unit,
    margin: float | None,
    confidence: float,
    needed: int | None,
) -> str:
    """The verdict as a sentence or two, with the numbers it rests on."""
    before, after = names
    values = gain.values
    points = " points" if unit == "rate" else ""
    facts = (
        f"{metric} {value_text(values[0], unit)} → {value_text(values[1], unit)}, "
        f"{change_text(values[1] - values[0], unit)}{points} "
        f"(gain between {change_text(gain.low, unit)} and {change_text(gain.high, unit)} at {percent_text(confidence)} "
        f"confidence, {count_text(gain.rows)} rows)."
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
        return f"{head} The loss seen is at least the margin, so more rows are unlikely to help."
    return f"{head} No change was seen; give a margin to ask whether they are equally good."
