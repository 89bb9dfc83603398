"""What a notebook shows for a report or a comparison: no script, no style that could leak into the notebook."""

from __future__ import annotations

from ftkit.render.html.pages import report_headline
from ftkit.render.markup import element, joined, table
from ftkit.render.overview_table import OVERVIEW_HEADER, overview_cells
from ftkit.render.summary import (
    change_cells,
    change_header,
    comparison_lines,
    metric_cells,
    metric_header,
    probe_lines,
    resource_lines,
    resource_rows,
)
from ftkit.results.overview import Overview
from ftkit.results.report import Comparison, Report

__all__ = ["comparison_fragment", "overview_fragment", "report_fragment"]


def report_fragment(report: Report) -> str:
    """The metrics of a report."""
    rows = [metric_cells(metric, lead=metric.name == report.primary) for metric in report.metrics]
    return joined(
        [
            element("p", element("b", report.label), f": {report_headline(report)}"),
            table(metric_header(report), rows, "ftkit"),
            *(element("div", element("small", line)) for line in (*resource_lines(report), *probe_lines(report))),
            *(element("div", element("small", f"Note: {note}.")) for note in report.notes),
        ]
    )


def overview_fragment(overview: Overview) -> str:
    """The table of several reports."""
    return joined(
        [element("p", element("b", overview.primary)), table(OVERVIEW_HEADER, overview_cells(overview), "ftkit")]
    )


def comparison_fragment(comparison: Comparison) -> str:
    """The verdict and the metrics of a comparison."""
    rows = [change_cells(metric, lead=metric.name == comparison.primary) for metric in comparison.metrics]
    return joined(
        [
            element("p", element("b", comparison.verdict.upper()), f". {comparison.sentence}"),
            table(change_header(comparison), rows, "ftkit"),
            table(["", *comparison.labels], resource_rows(comparison), "ftkit"),
            *(element("div", element("small", line)) for line in comparison_lines(comparison)),
            *(element("div", element("small", f"Note: {note}.")) for note in comparison.notes),
        ]
    )
