"""Whole pages."""

from __future__ import annotations

from ftkit.evaluation.comparison import Comparison
from ftkit.evaluation.figures import count_text, interval_text, percent_text, value_text
from ftkit.evaluation.html.markup import Markup, document, element
from ftkit.evaluation.html.panels import (
    change_panel,
    confusion_panel,
    made_panel,
    metric_panel,
    notes_panel,
    resource_panel,
)
from ftkit.evaluation.html.row_cards import comparison_rows, report_rows
from ftkit.evaluation.report import Report

__all__ = ["comparison_page", "report_headline", "report_page"]


def report_page(report: Report) -> str:
    """One report as a page of its own."""
    return document(
        f"{report.label}: {report.primary}",
        element("p", "ftkit report", class_="quiet"),
        element("h1", report.label),
        element("p", report_headline(report), class_="headline"),
        notes_panel(report.notes),
        metric_panel(report),
        confusion_panel(report),
        resource_panel(report),
        report_rows(report),
        made_panel(report),
    )


def comparison_page(comparison: Comparison) -> str:
    """Two reports as one page."""
    before, after = comparison.labels
    counts = comparison.counts
    tiles = [
        ("fixed", "fixed", counts.fixed),
        ("regressed", "regressed", counts.regressed),
        ("both_right", "right in both", counts.both_right),
        ("both_wrong", "wrong in both", counts.both_wrong),
    ]
    shown = [
        element("div", element("b", count_text(n)), element("span", words), class_=f"tile {kind}")
        for kind, words, n in tiles
    ]
    return document(
        f"{before} → {after}: {comparison.verdict}",
        element("p", "ftkit comparison", class_="quiet"),
        element("h1", f"{before} → {after}"),
        _verdict(comparison),
        element("div", *shown, class_="tiles"),
        notes_panel(comparison.notes),
        change_panel(comparison),
        confusion_panel(comparison.before, comparison.after),
        resource_panel(comparison),
        comparison_rows(comparison),
        made_panel(comparison.before, comparison.after),
    )


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
