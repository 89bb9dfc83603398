"""Reports and comparisons in a terminal: plain text for ``print``, rich tables where rich prints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

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
    shown_metrics,
)
from ftkit.results.number_format import count_text, file_text, margin_text, percent_text
from ftkit.results.overview import Overview
from ftkit.results.report import KIND_WORDS, Comparison, Report

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

__all__ = ["comparison_table", "comparison_text", "overview_text", "report_table", "report_text"]

Cells = Sequence[str]

_COLOURS = {"better": "green", "non-inferior": "green", "worse": "red", "inconclusive": "yellow"}


def report_text(report: Report) -> str:
    """The report as lines of text."""
    metrics, hidden = shown_metrics(report.metrics)
    cells = [metric_cells(metric, lead=metric.name == report.primary) for metric in metrics]
    lines = [_title(report), "", *_aligned(metric_header(report), cells), *_hidden(hidden), "", *resource_lines(report)]
    lines += probe_lines(report)
    return "\n".join([*lines, *(f"Note: {note}." for note in report.notes)])


def comparison_text(comparison: Comparison) -> str:
    """The comparison as lines of text, the verdict first."""
    metrics, hidden = shown_metrics(comparison.metrics)
    cells = [change_cells(metric, lead=metric.name == comparison.primary) for metric in metrics]
    lines = [f"{comparison.verdict.upper()}. {comparison.sentence}", "", _rows(comparison), ""]
    lines += [*_aligned(change_header(comparison), cells), *_hidden(hidden), ""]
    lines += _aligned(["", *comparison.labels], resource_rows(comparison))
    more = comparison_lines(comparison)
    lines += ["", *more] if more else []
    return "\n".join([*lines, *(f"Note: {note}." for note in comparison.notes)])


def overview_text(overview: Overview) -> str:
    """The reports as lines of text."""
    margin = ""
    if overview.margin is not None:
        unit = overview.reports[0][overview.primary].unit
        margin = f", margin {margin_text(overview.margin, unit)}"
    head = f"{overview.primary} on {count_text(len(overview.reports[0].rows))} rows, paired with the first{margin}"
    return "\n".join([head, "", *_aligned(OVERVIEW_HEADER, overview_cells(overview)), "", overview.front])


def report_table(report: Report) -> RenderableType:
    """The report for a rich console."""
    from rich.console import Group
    from rich.text import Text

    metrics, hidden = shown_metrics(report.metrics)
    table = _table(metric_header(report))
    for metric in metrics:
        lead = metric.name == report.primary
        table.add_row(*map(Text, metric_cells(metric, lead=lead)), style="bold" if lead else None)
    notes = [Text(f"Note: {note}.", style="yellow") for note in report.notes]
    below = [Text(line) for line in (*_hidden(hidden), *resource_lines(report), *probe_lines(report))]
    return Group(Text(_title(report), style="bold"), table, *below, *notes)


def comparison_table(comparison: Comparison) -> RenderableType:
    """The comparison for a rich console."""
    from rich.console import Group
    from rich.text import Text

    metrics, hidden = shown_metrics(comparison.metrics)
    table = _table(change_header(comparison), labels=2)
    for metric in metrics:
        lead = metric.name == comparison.primary
        colour = _COLOURS[metric.verdict] if metric.verdict != "inconclusive" else ""
        *cells, last = change_cells(metric, lead=lead)
        table.add_row(*map(Text, cells), Text(last, style=colour), style="bold" if lead else None)
    resources = _table(["", *comparison.labels], labels=2)
    for row in resource_rows(comparison):
        resources.add_row(*map(Text, row))
    head = Text(f"{comparison.verdict.upper()}. ", style=f"bold {_COLOURS[comparison.verdict]}")
    head.append(comparison.sentence, style="default")
    notes = [Text(f"Note: {note}.", style="yellow") for note in comparison.notes]
    more = map(Text, comparison_lines(comparison))
    return Group(head, Text(_rows(comparison)), table, *map(Text, _hidden(hidden)), resources, *more, *notes)


def _title(report: Report) -> str:
    named = report.label if report.label == report.model else f"{report.label} ({report.model})"
    return f"{named}: {count_text(len(report.rows))} rows of {', '.join(map(file_text, report.sources))}"


def _rows(comparison: Comparison) -> str:
    parts = [f"{count_text(count)} {KIND_WORDS[kind]}" for kind, count in comparison.tally]
    margin = ""
    if comparison.margin is not None:
        margin = f"; margin {margin_text(comparison.margin, comparison[comparison.primary].unit)}"
    return f"Rows by {comparison.primary}: {', '.join(parts)}{margin}, {percent_text(comparison.confidence)} confidence"


def _hidden(count: int) -> list[str]:
    return [f"… {count} more metrics in the .html, .md and .json forms"] if count else []


def _aligned(header: Cells, rows: Sequence[Cells]) -> list[str]:
    """Columns under their headers: the first to the left, the others to the right."""
    widths = [max(len(row[index]) for row in (header, *rows)) for index in range(len(header))]
    lines = []
    for row in (header, *rows):
        first, *others = (
            cell.rjust(width) if index else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join((first, *others)).rstrip())
    return lines


def _table(header: Cells, labels: int = 0) -> Table:
    """An empty table whose first columns after the head carry reports' labels: only those may be folded."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for index, name in enumerate(header):
        whole = not 1 <= index <= labels
        table.add_column(Text(name), justify="right" if index else "left", overflow="fold", no_wrap=whole)
    return table
