"""The cells that every form of a report shows: terminal, Markdown and HTML say the same words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from ftkit.results.metric_result import MetricChange, MetricResult
from ftkit.results.number_format import (
    NONE,
    change_text,
    count_text,
    interval_text,
    p_text,
    percent_text,
    seconds_text,
    usd_text,
    value_text,
)
from ftkit.results.report import Comparison, Probed, Report

__all__ = [
    "change_cells",
    "change_header",
    "comparison_lines",
    "metric_cells",
    "metric_header",
    "probe_lines",
    "resource_lines",
    "resource_rows",
    "shown_metrics",
]

LEAD = " *"  # after the name of the headline metric
_UNTOLD = "source not recorded"  # in reports of older versions
MOST = 40  # metrics that a terminal shows

Named = TypeVar("Named", MetricResult, MetricChange)


def shown_metrics(metrics: Sequence[Named]) -> tuple[list[Named], int]:
    """The metrics for a terminal, and how many are left to the longer forms.

    When there are too many, precision and recall go first (F1 stays), then what comes last.
    """
    shown = list(metrics)
    if len(shown) > MOST:
        shown = [metric for metric in shown if not metric.name.startswith(("precision:", "recall:"))]
    return shown[:MOST], len(metrics) - len(shown[:MOST])


def metric_header(report: Report) -> list[str]:
    """Column names for :func:`metric_cells`."""
    return ["metric", "value", f"{percent_text(report.confidence)} interval", "rows"]


def metric_cells(metric: MetricResult, *, lead: bool) -> list[str]:
    """Name, value, interval and number of rows."""
    return [
        metric.name + (LEAD if lead else ""),
        value_text(metric.value, metric.unit),
        interval_text(metric.low, metric.high, metric.unit),
        count_text(metric.n),
    ]


def change_header(comparison: Comparison) -> list[str]:
    """Column names for :func:`change_cells`."""
    return ["metric", *comparison.labels, "change", f"{percent_text(comparison.confidence)} interval", "p", ""]


def change_cells(metric: MetricChange, *, lead: bool) -> list[str]:
    """Name, both values, change, its interval, p value (Holm's for fields), and the metric's own verdict."""
    return [
        metric.name + (LEAD if lead else ""),
        value_text(metric.before, metric.unit),
        value_text(metric.after, metric.unit),
        change_text(metric.difference, metric.unit),
        change_interval_text(metric),
        p_text(metric.p_value if metric.p_adjusted is None else metric.p_adjusted),
        "" if metric.verdict == "inconclusive" else metric.verdict,
    ]


def change_interval_text(metric: MetricChange) -> str:
    """The interval of a change, both ends with their sign."""
    if metric.low is None or metric.high is None:
        return interval_text(None, None, metric.unit)
    return f"{change_text(metric.low, metric.unit)} to {change_text(metric.high, metric.unit)}"


def resource_lines(report: Report) -> list[str]:
    """Tokens, time and cost, a line each."""
    usage, timing, cost = report.usage, report.timing, report.cost
    cached = f" ({count_text(usage.cached_tokens)} cached)" if usage.cached_tokens else ""
    pace = "" if timing.output_tokens_per_s is None else f", {timing.output_tokens_per_s:,.1f} output tokens/s"
    made = None if cost.training_usd is None else f"{usd_text(cost.training_usd)}; {cost.training_source or _UNTOLD}"
    money = f"not known: {cost.source}" if cost.total_usd is None else f"{_money(report)}; {cost.source}"
    return [
        f"Tokens: {count_text(usage.input_tokens)} in{cached}, {count_text(usage.output_tokens)} out",
        f"Time: {seconds_text(timing.wall_s)} in all; latency p50 {seconds_text(timing.latency_p50_s)}, "
        f"p95 {seconds_text(timing.latency_p95_s)}{pace}",
        f"Cost: {money}",
        *([] if made is None else [f"Training cost: {made}"]),
    ]


def resource_rows(comparison: Comparison) -> list[list[str]]:
    """What both cost in tokens, time and money: name, before, after. What is known of neither is left out."""
    sides = (comparison.before, comparison.after)

    def row(name: str, texts: Sequence[str]) -> list[str]:
        return [name, *texts]

    rows = [
        row("input tokens", [count_text(side.usage.input_tokens) for side in sides]),
        row("output tokens", [count_text(side.usage.output_tokens) for side in sides]),
        row("latency p50", [seconds_text(side.timing.latency_p50_s) for side in sides]),
        row("latency p95", [seconds_text(side.timing.latency_p95_s) for side in sides]),
        row("output tokens/s", [_pace(side) for side in sides]),
        row("time in all", [seconds_text(side.timing.wall_s) for side in sides]),
        row("cost", [usd_text(side.cost.total_usd) for side in sides]),
        row("cost per 1,000 rows", [usd_text(side.cost.per_1000_usd) for side in sides]),
        row("cost per right row", [usd_text(side.cost.per_success_usd) for side in sides]),
    ]
    return [[name, *texts] for name, *texts in rows if any(text != NONE for text in texts)]


def probe_lines(report: Report) -> list[str]:
    """What the probes of one model found, in sentences; or that there were none, and how to have them."""
    probes = report.probes
    if probes is None:
        return ["Not probed for forgetting or overfitting"]
    if report.forgetting is not None:
        return [*report.forgetting.lines, *_harm_lines(probes)]
    found = []
    for name, part in (("General set", probes.general), ("Retention set", probes.retention)):
        if part is not None:
            metric = part.headline
            interval = interval_text(metric.low, metric.high, metric.unit)
            found.append(
                f"{name}: {metric.name} {value_text(metric.value, metric.unit)} ({interval}) of {count_text(metric.n)}"
            )
    if probes.text is not None:
        found.append(f"Plain prose: perplexity {probes.text.perplexity:.4g}")
    if probes.drift is not None:
        found.append(f"Drift from {probes.drift.base}: KL {probes.drift.mean_kl:.3g} nats a token")
    return [*found, *_harm_lines(probes)]


def _harm_lines(probes: Probed) -> list[str]:
    """Learning by heart, and what could not be probed."""
    learnt = () if probes.overfitting is None else probes.overfitting.lines
    return [*learnt, *(f"Not probed: {reason}" for reason in probes.left_out)]


def comparison_lines(comparison: Comparison) -> list[str]:
    """What became of abilities beside the task, and when the second model has paid for itself, in sentences."""
    found = [] if comparison.forgetting is None else list(comparison.forgetting.lines)
    even = comparison.break_even
    if even is not None:
        saved = f"{usd_text(abs(even.saved_per_1000_usd))} per 1,000 predictions"
        cost = f"training cost {usd_text(even.training_usd)}"
        if even.predictions is None:
            found.append(f"Break-even: never; {cost}, and it costs {saved} more")
        else:
            found.append(f"Break-even: after {count_text(even.predictions)} predictions; {cost}, and it saves {saved}")
    return found


def _pace(report: Report) -> str:
    return NONE if report.timing.output_tokens_per_s is None else f"{report.timing.output_tokens_per_s:,.1f}"


def _money(report: Report) -> str:
    cost = report.cost
    right = "" if cost.per_success_usd is None else f", {usd_text(cost.per_success_usd)} a right row"
    return f"{usd_text(cost.total_usd)} in all, {usd_text(cost.per_1000_usd)} per 1,000 rows{right}"
