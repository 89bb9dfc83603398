"""The cells of an overview: one line a report."""

from __future__ import annotations

from ftkit.results.number_format import change_text, interval_text, seconds_text, usd_text, value_text
from ftkit.results.overview import Overview, Standing
from ftkit.results.report import Report

__all__ = ["OVERVIEW_HEADER", "overview_cells"]

OVERVIEW_HEADER = (
    "model",
    "quality",
    "interval",
    "against the first",
    "interval",
    "verdict",
    "$ / 1,000",
    "p50",
    "best",
)


def overview_cells(overview: Overview) -> list[list[str]]:
    """Return the table in words, under :data:`OVERVIEW_HEADER`."""
    return [
        _line(one, report, overview.primary) for one, report in zip(overview.standings, overview.reports, strict=True)
    ]


def _line(one: Standing, report: Report, primary: str) -> list[str]:
    metric = report[primary]
    change = "–" if one.difference is None else change_text(one.difference, metric.unit)
    reach = "–"
    if one.low is not None and one.high is not None:
        reach = f"{change_text(one.low, metric.unit)} to {change_text(one.high, metric.unit)}"
    return [
        one.label,
        value_text(metric.value, metric.unit),
        interval_text(metric.low, metric.high, metric.unit),
        change,
        reach,
        one.verdict or "–",
        usd_text(report.cost.per_1000_usd),
        seconds_text(report.timing.latency_p50_s),
        "on the front" if one.on_front else "",
    ]
