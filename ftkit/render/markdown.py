"""Reports, comparisons and overviews as Markdown, for a pull request."""

from __future__ import annotations

from collections.abc import Sequence

from ftkit.counts import counted
from ftkit.render.overview_table import overview_table
from ftkit.render.probe_lines import probe_lines
from ftkit.render.report_tables import (
    change_table,
    comparison_lines,
    confusion_tables,
    metric_table,
    resource_lines,
    resource_table,
    tally_table,
)
from ftkit.render.table import Table, escape_markdown, markdown_list
from ftkit.results.number_format import count_text, file_text
from ftkit.results.overview import Overview
from ftkit.results.report import Comparison, Report
from ftkit.results.report_row import RowResult
from ftkit.results.row_pairing import Kind

__all__ = ["comparison_markdown", "overview_markdown", "report_markdown"]

_MAX_ROWS = 10


def report_markdown(report: Report) -> str:
    """Write a report as Markdown: metrics, tokens, time, cost, probes and how it was made.

    Args:
        report: The report.

    Returns:
        Markdown.
    """
    return _join(
        f"## {escape_markdown(report.label)}",
        f"{counted(len(report.rows), 'row')} of {escape_markdown(', '.join(map(file_text, report.sources)))}, "
        f"model {escape_markdown(report.model)}.",
        metric_table(report).markdown(),
        markdown_list(resource_lines(report)),
        markdown_list(probe_lines(report)),
        markdown_list(report.notes),
        *(table.markdown() for table in confusion_tables(report)),
        _provenance(report),
    )


def comparison_markdown(comparison: Comparison) -> str:
    """Write a comparison as Markdown: the verdict, both reports side by side, the first rows that changed.

    Args:
        comparison: The comparison.

    Returns:
        Markdown.
    """
    return _join(
        f"## {escape_markdown(comparison.before.label)} → {escape_markdown(comparison.after.label)}",
        f"**{comparison.verdict.capitalize()}.** {escape_markdown(comparison.sentence)}",
        change_table(comparison).markdown(),
        tally_table(comparison).markdown(),
        resource_table(comparison).markdown(),
        markdown_list(comparison_lines(comparison)),
        markdown_list(comparison.notes),
        _rows(comparison, ("regressed", "worse"), "Rows that got worse"),
        _rows(comparison, ("fixed", "better"), "Rows that got better"),
        _provenance(comparison.before),
        _provenance(comparison.after),
    )


def overview_markdown(overview: Overview) -> str:
    """Write an overview as Markdown.

    Args:
        overview: The overview.

    Returns:
        Markdown.
    """
    return _join(
        f"## {escape_markdown(overview.primary)} of {len(overview.reports)} reports",
        overview_table(overview).markdown(),
        overview.front,
        markdown_list(overview.notes),
        *map(_provenance, overview.reports),
    )


def _join(*parts: str) -> str:
    return "\n\n".join(part for part in parts if part) + "\n"


def _rows(comparison: Comparison, kinds: Sequence[Kind], title: str) -> str:
    pairs = [pair for pair in comparison.pairs() if comparison.kind_of(pair) in kinds]
    if not pairs:
        return ""
    shown = f", the first {_MAX_ROWS}" if len(pairs) > _MAX_ROWS else ""
    parts = [f"<details><summary>{title} ({count_text(len(pairs))}{shown})</summary>"]
    for before, after in pairs[:_MAX_ROWS]:
        answers = [
            ["wanted", before.wanted],
            [comparison.labels[0], _answer(before)],
            [comparison.labels[1], _answer(after)],
        ]
        parts += [
            f"**{escape_markdown(before.id)}** ({escape_markdown(file_text(before.place))})",
            Table(["", "answer"], answers).markdown(),
        ]
    return "\n\n".join([*parts, "</details>"])


def _answer(row: RowResult) -> str:
    return f"(not asked: {row.error})" if row.finish_reason == "error" else row.said


def _provenance(report: Report) -> str:
    return (
        f"<sub>{escape_markdown(report.label)}: ftkit {report.ftkit_version}, {report.created_at}, "
        f"task `{report.task_fingerprint[:19]}`, data `{report.dataset_fingerprint[:19]}`, "
        f"report `{report.digest[:19]}`</sub>"
    )
