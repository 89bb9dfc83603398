"""Reports, comparisons and overviews as plain text for ``print``, and for rich consoles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

from ftkit.counts import counted
from ftkit.render.overview_table import overview_table
from ftkit.render.probe_lines import probe_lines
from ftkit.render.report_tables import (
    VERDICT_STYLES,
    change_table,
    comparison_lines,
    metric_table,
    report_title,
    resource_lines,
    resource_table,
)
from ftkit.render.table import Line, Table, to_rich, to_text
from ftkit.results.metric_result import MetricChange, MetricResult
from ftkit.results.number_format import count_text, margin_text, percent_text
from ftkit.results.overview import Overview
from ftkit.results.report import Comparison, Report
from ftkit.results.row_pairing import KIND_WORDS

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = [
    "comparison_rich",
    "comparison_text",
    "overview_rich",
    "overview_text",
    "report_rich",
    "report_text",
]

_MAX_METRICS = 40

_Named = TypeVar("_Named", MetricResult, MetricChange)
_BLANK = Line.of("")


def report_text(report: Report) -> str:
    """Write a report as plain text.

    Args:
        report: The report.

    Returns:
        The text.
    """
    return to_text(_report(report))


def report_rich(report: Report) -> RenderableType:
    """Build a report for a rich console.

    Args:
        report: The report.

    Returns:
        What a rich console prints.
    """
    return to_rich(_report(report))


def comparison_text(comparison: Comparison) -> str:
    """Write a comparison as plain text, the verdict first.

    Args:
        comparison: The comparison.

    Returns:
        The text.
    """
    return to_text(_comparison(comparison))


def comparison_rich(comparison: Comparison) -> RenderableType:
    """Build a comparison for a rich console.

    Args:
        comparison: The comparison.

    Returns:
        What a rich console prints.
    """
    return to_rich(_comparison(comparison))


def overview_text(overview: Overview) -> str:
    """Write an overview as plain text.

    Args:
        overview: The overview.

    Returns:
        The text.
    """
    return to_text(_overview(overview))


def overview_rich(overview: Overview) -> RenderableType:
    """Build an overview for a rich console.

    Args:
        overview: The overview.

    Returns:
        What a rich console prints.
    """
    return to_rich(_overview(overview))


def _report(report: Report) -> list[Line | Table]:
    metrics, hidden = _fitting(report.metrics)
    lines = [*resource_lines(report), *probe_lines(report)]
    return [
        Line.of(report_title(report), "bold"),
        _BLANK,
        metric_table(report, metrics),
        *_hidden(hidden),
        _BLANK,
        *map(Line.of, lines),
        *_notes(report.notes),
    ]


def _comparison(comparison: Comparison) -> list[Line | Table]:
    changes, hidden = _fitting(comparison.metrics)
    lines = comparison_lines(comparison)
    return [
        Line([(f"{comparison.verdict.upper()}. ", f"bold {VERDICT_STYLES[comparison.verdict]}"), comparison.sentence]),
        _BLANK,
        Line.of(_row_counts(comparison)),
        _BLANK,
        change_table(comparison, changes),
        *_hidden(hidden),
        _BLANK,
        resource_table(comparison),
        *([_BLANK] if lines else []),
        *map(Line.of, lines),
        *_notes(comparison.notes),
    ]


def _overview(overview: Overview) -> list[Line | Table]:
    first = overview.reports[0]
    margin = ""
    if overview.margin is not None:
        margin = f", margin {margin_text(overview.margin, first[overview.primary].unit)}"
    title = f"{overview.primary} on {counted(len(first.rows), 'row')}, paired with the first report{margin}"
    table = overview_table(overview)
    return [Line.of(title, "bold"), _BLANK, table, _BLANK, Line.of(overview.front), *_notes(overview.notes)]


def _fitting(metrics: Sequence[_Named]) -> tuple[list[_Named], int]:
    """The metrics that a terminal shows, and how many it does not. Precision and recall go first; F1 stays."""
    shown = list(metrics)
    if len(shown) > _MAX_METRICS:
        shown = [metric for metric in shown if not metric.name.startswith(("precision:", "recall:"))]
    return shown[:_MAX_METRICS], len(metrics) - len(shown[:_MAX_METRICS])


def _hidden(count: int) -> list[Line]:
    return [Line.of(f"… {count} more metrics in the files .html, .md and .json")] if count else []


def _notes(notes: Sequence[str]) -> list[Line]:
    return [Line.of(f"Note: {note}.", "yellow") for note in notes]


def _row_counts(comparison: Comparison) -> str:
    counts = [f"{count_text(count)} {KIND_WORDS[kind]}" for kind, count in comparison.tally]
    margin = ""
    if comparison.margin is not None:
        margin = f"; margin {margin_text(comparison.margin, comparison[comparison.primary].unit)}"
    confidence = percent_text(comparison.confidence)
    return f"Rows by {comparison.primary}: {', '.join(counts)}{margin}, {confidence} confidence"
