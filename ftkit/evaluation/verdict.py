"""The verdict of a paired comparison, and how many rows an inconclusive one would need."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ftkit.counts import counted
from ftkit.evaluation.metric_interval import PairedStatistics
from ftkit.evaluation.statistics import clusters_needed, rows_of
from ftkit.results.metric_result import MetricChange, Unit, Verdict
from ftkit.results.number_format import change_text, margin_text, p_text, percent_text, value_text

__all__ = ["POWER", "Evidence", "Improvement", "floor_reason", "rows_needed", "sentence", "verdict_of"]

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
        rows: number of rows.
    """

    values: tuple[float, float]
    change: float
    low: float
    high: float
    p_value: float | None
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
        return cls((change.before, change.after), difference, low, high, p_value, change.n)


@dataclass(frozen=True)
class Evidence:
    """What a verdict rests on, for its sentence.

    Attributes:
        interval: the method of the interval, in words.
        test: the test of no change, in words; empty if there is none.
        groups: number of groups of dependent rows; None if all rows are independent.
    """

    interval: str
    test: str = ""
    groups: int | None = None

    @classmethod
    def of(cls, paired: PairedStatistics) -> Evidence:
        """Describe the interval and the test of a change.

        Args:
            paired: the metric's statistics on the rows of both models.

        Returns:
            The evidence.
        """
        changed = int((abs(paired.differences) > 1e-12).sum())
        if paired.independent:
            if paired.is_binary:
                return cls("Tango's score interval", f"McNemar's exact test with {counted(changed, 'changed row')}")
            return cls("the score interval", f"the sign-flip test with {counted(changed, 'changed row')}")
        groups = int(paired.counted_clusters.max()) + 1
        return cls("the score interval over groups", f"the sign-flip test over {counted(groups, 'group')}", groups)


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


def floor_reason(improvement: Improvement, *, margin: float | None, unit: Unit, higher_is_better: bool) -> str:
    """Say why the rows hold no evidence, however many there are.

    Args:
        improvement: the change of the headline metric.
        margin: the largest acceptable loss; None if none was set.
        unit: unit of the metric.
        higher_is_better: direction of the metric.

    Returns:
        The reason; empty if there may be evidence.
    """
    if margin is None or unit != "rate":
        return ""
    before, after = improvement.values if higher_is_better else (1 - improvement.values[0], 1 - improvement.values[1])
    if before <= margin + 1e-12 and after <= before + margin:
        shown = value_text(improvement.values[0], unit)
        return (
            f"There is no evidence: the first model's {shown} leaves no room for a loss of "
            f"{margin_text(margin, unit)}, so no answer could fail; choose a metric that the first model does not "
            "fail, with primary=."
        )
    return ""


def rows_needed(
    paired: PairedStatistics, *, margin: float | None, confidence: float, higher_is_better: bool
) -> tuple[int, int] | None:
    """Estimate how many rows like these would settle an inconclusive comparison with a power of 80 %.

    Samples of the observed groups of rows are put to the test that decides the verdict. The estimate assumes that the
    observed change is the true one. With a margin it is the number that shows the loss to be smaller; without, the
    number that shows the change.

    Args:
        paired: the metric's statistics on the rows of both models.
        margin: the largest acceptable loss; None if none was set.
        confidence: confidence level of the interval.
        higher_is_better: whether a positive change is an improvement.

    Returns:
        Number of rows, and of groups of rows; None if no number is likely to settle it: the loss is beyond the margin,
        or there is no change.
    """
    scores = paired.scores
    positive_is_better = higher_is_better if margin is not None else scores.mean > 0
    clusters = clusters_needed(
        scores if positive_is_better else replace(scores, sums=-scores.sums),
        limit=0.0 if margin is None else -margin,
        bounds=paired.bounds,
        confidence=confidence,
        power=POWER,
        binary=paired.is_binary and paired.independent,
    )
    return None if clusters is None else (rows_of(clusters, scores), clusters)


def sentence(
    verdict: Verdict,
    improvement: Improvement,
    evidence: Evidence,
    *,
    names: tuple[str, str],
    metric: str,
    unit: Unit,
    margin: float | None,
    confidence: float,
    needed: tuple[int, int] | None,
    reason: str = "",
) -> str:
    """Write the verdict with its numbers, and with the interval and the test that decided it.

    Args:
        verdict: the verdict.
        improvement: the change of the headline metric.
        evidence: the interval and the test.
        names: what the two models are called.
        metric: name of the headline metric.
        unit: its unit.
        margin: the largest acceptable loss; None if none was set.
        confidence: confidence level of the interval.
        needed: rows and groups that an inconclusive comparison would need, if known.
        reason: why more rows like these would not decide, or why no more is shown, in sentences; see
            :func:`floor_reason`.

    Returns:
        A few sentences.
    """
    before, after = names
    values = improvement.values
    points = " points" if unit == "rate" else ""
    groups = "" if evidence.groups is None else f" in {counted(evidence.groups, 'group')}"
    facts = (
        f"{metric} {value_text(values[0], unit)} → {value_text(values[1], unit)}, "
        f"{change_text(values[1] - values[0], unit)}{points} "
        f"(gain between {change_text(improvement.low, unit)} and {change_text(improvement.high, unit)} at "
        f"{percent_text(confidence)} confidence, {counted(improvement.rows, 'row')}{groups})."
    )
    p_value = p_text(improvement.p_value)
    equals = "" if p_value.startswith("<") else "= "
    tested = "" if improvement.p_value is None else f"{evidence.test}, p {equals}{p_value}"
    by_both = f" Decided by {evidence.interval}{f' and {tested}' if tested else ''}."
    limit = "" if margin is None else margin_text(margin, unit)
    note = f" {reason}" if reason else ""
    if verdict == "better":
        return f"{after} is better than {before}: {facts}{by_both}"
    if verdict == "worse":
        beyond = "" if margin is None else f" The loss is not shown to be within the margin of {limit}."
        return f"{after} is worse than {before}: {facts}{by_both}{beyond}"
    if verdict == "non-inferior":
        return f"{after} is non-inferior to {before} within {limit}: {facts} Decided by {evidence.interval}.{note}"
    what = "that the loss is" if margin is not None else "which is better"
    limits = f" within {limit}" if margin is not None else ""
    head = f"These rows cannot show {what}{limits}: {facts}"
    if reason:
        return f"{head} {reason}"
    if margin is None and tested and (improvement.low > 0 or improvement.high < 0):
        head = f"{head} The interval excludes 0, but the test does not reject no change ({tested})."
    if needed is not None:
        rows, clusters = needed
        in_groups = "" if evidence.groups is None else f" in {counted(clusters, 'group')}"
        return f"{head} About {counted(rows, 'row')}{in_groups} like these would, with {percent_text(POWER)} power."
    if margin is not None:
        return f"{head} The observed loss is at least the margin, so more rows are unlikely to help."
    return f"{head} No change was observed; give a margin to ask whether they are equally good."
