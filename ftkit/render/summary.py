"""The first screen of a page: is it better, how sure is that, what does a right answer cost, and what broke?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ftkit.counts import counted
from ftkit.results.number_format import (
    NONE,
    change_text,
    count_text,
    interval_text,
    margin_text,
    percent_text,
    seconds_text,
    usd_text,
    value_text,
)
from ftkit.results.probe_results import p_phrase
from ftkit.results.report import Comparison, Forgetting, Report

__all__ = ["Badge", "Fact", "comparison_badge", "comparison_summary", "report_summary"]

_FLAGGED_CUT_SHARE = 0.05

State = Literal["good", "bad", "open", "plain"]


@dataclass(frozen=True, slots=True)
class Fact:
    """One question with its answer.

    Attributes:
        question: The question.
        answer: The answer, in a few words.
        lines: Details.
        state: How it is coloured.
        css: Class of its place in the grid.
    """

    question: str
    answer: str
    lines: list[str]
    state: State = "plain"
    css: str = ""


@dataclass(frozen=True, slots=True)
class Badge:
    """The verdict.

    Attributes:
        text: The verdict, and that there are warnings.
        css: CSS classes. It is not plain green while a flag stands.
    """

    text: str
    css: str


def comparison_badge(comparison: Comparison) -> Badge:
    """Make the badge of the verdict.

    Args:
        comparison: The comparison.

    Returns:
        The badge.
    """
    warnings = len(_broken(comparison.after, comparison.flags))
    if warnings and comparison.verdict in ("better", "non-inferior"):
        return Badge(
            f"{comparison.verdict}, with {counted(warnings, 'warning')}", f"{comparison.verdict} flagged-verdict"
        )
    return Badge(comparison.verdict, comparison.verdict)


def comparison_summary(comparison: Comparison) -> list[Fact]:
    """Answer the four questions about a comparison.

    Args:
        comparison: The comparison.

    Returns:
        Four facts.
    """
    change = comparison[comparison.primary]
    states: dict[str, State] = {"better": "good", "non-inferior": "good", "worse": "bad", "inconclusive": "open"}
    points = " points" if change.unit == "rate" else ""
    margin = f", margin {margin_text(comparison.margin, change.unit)}" if comparison.margin is not None else ""
    words = {"better": "Yes", "worse": "No, worse", "non-inferior": "As good", "inconclusive": "Not shown"}
    sure = [f"{percent_text(comparison.confidence)} interval of the change, {counted(change.n, 'row')}{margin}"]
    if change.p_value is not None:
        sure.append(f"{p_phrase(change.p_value)} for no change")
    if comparison.rows_needed is not None:
        sure.append(f"about {counted(comparison.rows_needed, 'row')} like these would settle it")
    return [
        Fact(
            "Better?",
            words[comparison.verdict],
            [
                f"{change.name} {value_text(change.before, change.unit)} → {value_text(change.after, change.unit)}, "
                f"{change_text(change.difference, change.unit)}{points}"
            ],
            states[comparison.verdict],
        ),
        Fact("How sure?", _reach(change.low, change.high, change.unit) + points, sure),
        _cost(comparison.after, comparison.before),
        _harm(comparison.after, comparison.forgetting, comparison.flags),
    ]


def report_summary(report: Report) -> list[Fact]:
    """Answer the four questions about a report.

    Args:
        report: The report.

    Returns:
        Four facts.
    """
    metric = report.headline
    kinds: dict[str, int] = {}
    for row in report.failures:
        kind = report.failure_kind(row) or ""
        kinds[kind] = kinds.get(kind, 0) + 1
    common = sorted(kinds.items(), key=lambda each: -each[1])
    wrong = ", ".join(f"{count_text(count)} {kind}" for kind, count in common)
    return [
        Fact(
            "How good?",
            value_text(metric.value, metric.unit),
            [f"{metric.name}: {metric.description}", *([f"wrong: {wrong}"] if wrong else [])],
        ),
        Fact(
            "How sure?",
            interval_text(metric.low, metric.high, metric.unit),
            [f"{percent_text(report.confidence)} interval, {counted(metric.n, 'row')}"],
        ),
        _cost(report, None),
        _harm(report, report.forgetting, report.flags),
    ]


def _reach(low: float | None, high: float | None, unit: Literal["rate", "number"]) -> str:
    return NONE if low is None or high is None else f"{change_text(low, unit)} to {change_text(high, unit)}"


def _cost(report: Report, before: Report | None) -> Fact:
    """The cost of a right answer, or its time where no price is known."""
    cost = report.cost
    if cost.per_success_usd is not None:
        answer = f"{usd_text(cost.per_success_usd)} per right answer"
        lines = [] if before is None else [f"{usd_text(before.cost.per_success_usd)} before"]
        if cost.per_1000_usd is not None:
            lines.append(f"{usd_text(cost.per_1000_usd)} per 1,000 rows")
    elif cost.total_usd is not None:
        answer, lines = f"{usd_text(cost.total_usd)}, no right answer", [cost.source]
    else:
        answer, lines = "No price known", ["Name prices=, gpu= or gpu_hour_usd= to see the cost of a right answer"]
    latency = seconds_text(report.timing.latency_p50_s)
    was = "" if before is None else f" ({seconds_text(before.timing.latency_p50_s)} before)"
    lines.append(f"{latency} median latency{was}")
    return Fact("At what cost?", answer, lines)


def _harm(report: Report, forgetting: Forgetting | None, flags: tuple[str, ...]) -> Fact:
    broken = _broken(report, flags)
    if broken:
        names = list(dict.fromkeys(name for name, _ in broken))
        text = ", ".join(names)
        lines = [line for _, line in broken]
        if report.probes is None:
            lines.append("Forgetting and overfitting were not measured")
        elif forgetting is None:
            lines.append("Forgetting is not known: the report has no base model")
        return Fact("What broke?", text[:1].upper() + text[1:], lines, "bad", "wide")
    probes = report.probes
    if probes is None:
        return Fact("What broke?", "Not probed", ["Forgetting and overfitting were not measured"], "open", "wide")
    cause = None if forgetting is None else forgetting.cause
    lines = [] if forgetting is None else [forgetting.sentence]
    if probes.overfitting is not None and probes.overfitting.gap is not None:
        lines.append(str(probes.overfitting.gap))
    if cause is None:
        return Fact("What broke?", "Nothing to compare with", ["The report has no base model", *lines], "open", "wide")
    if cause == "inconclusive":
        return Fact("What broke?", "Nothing shown", [line for line in lines if line], "open", "wide")
    return Fact("What broke?", "Nothing found", [line for line in lines if line], "good", "wide")


def _broken(report: Report, flags: tuple[str, ...]) -> list[tuple[str, str]]:
    """What tuning may have broken: name and sentence of each warning."""
    found = [(flag.partition(":")[0], flag) for flag in flags]
    answers = [answer for row in report.rows for answer in row.answers]
    for reason, name in (("length", "cut-off answers"), ("error", "failed answers")):
        count = sum(answer.finish_reason == reason for answer in answers)
        if count > _FLAGGED_CUT_SHARE * len(answers):
            how = f"cut off at max_output_tokens={report.sampling.token_limit}" if reason == "length" else "failed"
            found.append((name, f"{count_text(count)} of {counted(len(answers), 'answer')} {how}"))
    return found
