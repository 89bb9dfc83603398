"""Whole pages."""

from __future__ import annotations

from collections.abc import Sequence

from ftkit.evaluation.pareto import places
from ftkit.render.html.charts import latency_chart, loss_chart, metric_chart, plane_chart
from ftkit.render.html.document import document
from ftkit.render.html.panels import (
    change_panel,
    chart_panel,
    confusion_panel,
    made_panel,
    metric_panel,
    notes_panel,
    resource_panel,
)
from ftkit.render.html.probe_panels import forgetting_panel, overfitting_panel, retention_panel
from ftkit.render.html.row_cards import comparison_rows, overview_rows, report_rows
from ftkit.render.markup import Markup, element, table
from ftkit.render.overview_table import OVERVIEW_HEADER, overview_cells
from ftkit.results.number_format import count_text, interval_text, percent_text, value_text
from ftkit.results.overview import Overview
from ftkit.results.report import KIND_WORDS, Comparison, Report

__all__ = ["comparison_page", "overview_page", "report_headline", "report_page"]


def report_page(report: Report) -> str:
    """One report as a page of its own."""
    return document(
        f"{report.label}: {report.primary}",
        element("p", "ftkit report", class_="quiet"),
        element("h1", report.label),
        element("p", report_headline(report), class_="headline"),
        notes_panel(report.notes),
        chart_panel("Quality", metric_chart([(report.label, report.metrics)]), "metrics with their intervals"),
        confusion_panel(report),
        retention_panel(report),
        overfitting_panel([(report.label, report)]),
        chart_panel("Training", loss_chart([(report.label, report)]), "loss by step"),
        chart_panel("Latency", latency_chart([(report.label, report)]), "share of answers by latency"),
        metric_panel(report),
        resource_panel(report),
        report_rows(report),
        made_panel(report),
    )


def comparison_page(comparison: Comparison) -> str:
    """Two reports as one page."""
    before, after = comparison.labels
    labelled = list(zip(comparison.labels, (comparison.before, comparison.after), strict=True))
    shown = [
        element("div", element("b", count_text(count)), element("span", KIND_WORDS[kind]), class_=f"tile {kind}")
        for kind, count in comparison.tally
    ]
    return document(
        f"{before} → {after}: {comparison.verdict}",
        element("p", "ftkit comparison", class_="quiet"),
        element("h1", f"{before} → {after}"),
        _verdict(comparison),
        element("div", *shown, class_="tiles"),
        notes_panel(comparison.notes),
        chart_panel(
            "Quality",
            metric_chart([(label, report.metrics) for label, report in labelled]),
            "metrics of both with their intervals",
        ),
        change_panel(comparison),
        confusion_panel(comparison.before, comparison.after),
        forgetting_panel(comparison.forgetting),
        overfitting_panel(labelled),
        *_shared_charts(labelled, comparison.primary),
        resource_panel(comparison),
        comparison_rows(comparison),
        made_panel(comparison.before, comparison.after),
    )


def overview_page(overview: Overview) -> str:
    """Several reports as one page."""
    labelled = overview.labelled
    rows = [
        [*cells[:5], element("span", cells[5], class_=f"badge {cells[5]}") if cells[5] != "–" else None, *cells[6:]]
        for cells in overview_cells(overview)
    ]
    notes = dict.fromkeys(f"{label}: {note}" for label, report in labelled for note in report.notes)
    return document(
        f"{len(labelled)} reports: {overview.primary}",
        element("p", "ftkit overview", class_="quiet"),
        element("h1", f"{overview.primary} of {len(labelled)} reports"),
        element("p", f"Each is compared with {labelled[0][0]}, row by row.", class_="headline"),
        element(
            "section",
            table(OVERVIEW_HEADER, rows, "numbers"),
            element("p", overview.front, class_="quiet"),
            class_="panel",
        ),
        *_shared_charts(labelled, overview.primary),
        chart_panel(
            "Quality",
            metric_chart([(label, report.metrics) for label, report in labelled]),
            "metrics of all with their intervals",
        ),
        confusion_panel(*overview.reports),
        overfitting_panel(labelled),
        notes_panel(list(notes)),
        overview_rows(overview),
        made_panel(*overview.reports),
    )


def _shared_charts(labelled: Sequence[tuple[str, Report]], primary: str) -> list[Markup | None]:
    found, dear = places(labelled, primary)
    return [
        chart_panel("Quality and cost", plane_chart(found, labelled[0][1][primary], dear), "quality against cost"),
        chart_panel("Training", loss_chart(labelled), "loss by step"),
        chart_panel("Latency", latency_chart(labelled), "share of answers by latency"),
    ]


def report_headline(report: Report) -> str:
    """The headline metric with its interval, in words."""
    metric = report.headline
    interval = interval_text(metric.low, metric.high, metric.unit)
    return (
        f"{metric.name} {value_text(metric.value, metric.unit)} "
        f"({percent_text(report.confidence)} interval {interval}) on {count_text(metric.n)} rows"
    )


def _verdict(comparison: Comparison) -> Markup:
    badge = element("span", comparison.verdict, class_=f"badge {comparison.verdict}")
    return element("p", badge, " ", comparison.sentence, class_="headline")
