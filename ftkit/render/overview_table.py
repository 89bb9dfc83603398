"""The table of an overview: a row for each report, with the fields of its recipe where it comes from a sweep."""

from __future__ import annotations

from typing import Any

from ftkit.render.report_tables import change_interval, verdict_cell
from ftkit.render.table import Cell, Column, Table
from ftkit.results.number_format import NONE, change_text, interval_text, seconds_text, usd_text, value_text
from ftkit.results.overview import Overview, Standing
from ftkit.results.report import Report

__all__ = ["overview_table"]


def overview_table(overview: Overview) -> Table:
    """Build the table of reports: quality, difference from the first, price, latency.

    Args:
        overview: The overview.

    Returns:
        The table, one row for each report.
    """
    titles = ["quality", "interval", "against the first", "interval", "verdict", "$ / 1,000", "p50", "best"]
    if overview.price is not None:
        titles.insert(-1, overview.price)
    rows = [_standing(one, report, overview) for one, report in zip(overview.standings, overview.reports, strict=True)]
    named = [Column(name, wrap=True) for name in overview.columns or ("model",)]
    return Table([*named, *(Column(title, "right") for title in titles)], rows)


def _standing(one: Standing, report: Report, overview: Overview) -> list[str | Cell]:
    metric = report[overview.primary]
    named = [_field_text(one.fields.get(name)) for name in overview.columns] or [one.label]
    price = []
    if overview.price is not None:
        price = [usd_text(one.price) if "$" in overview.price else seconds_text(one.price)]
    return [
        *named,
        value_text(metric.value, metric.unit),
        interval_text(metric.low, metric.high, metric.unit),
        change_text(one.difference, metric.unit),
        change_interval(one, metric),
        verdict_cell(one.verdict) if one.verdict else NONE,
        usd_text(report.cost.per_1000_usd),
        seconds_text(report.timing.latency_p50_s),
        *price,
        "on the front" if one.on_front else "",
    ]


def _field_text(value: Any) -> str:
    return NONE if value is None else f"{value:g}" if isinstance(value, float) else str(value)
