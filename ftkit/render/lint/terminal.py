"""A report in a terminal, in the manner of ruff: ``file:line: CODE message``, an excerpt, a summary by rule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ftkit.render.lint.summary import density_lines, headline, message_of
from ftkit.results.lint_report import Finding

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ftkit.results.lint_report import LintReport

__all__ = ["SHOWN", "coloured", "statistics_lines", "summary_text", "text"]

SHOWN = 5
"""Findings of each rule that a terminal shows when not asked for more."""

_COLOURS = {"error": "red", "warning": "yellow", "info": "cyan"}


def text(report: LintReport, shown: int | None = None) -> str:
    """The report as lines of text, with the first ``shown`` findings of each rule; None: all that it holds."""
    lines: list[str] = []
    for finding in _shown(report, shown):
        lines += [f"{finding.place}: {finding.code} {_said(finding)}", *_below(finding)]
    if lines:
        lines += [*_hidden(report, shown), ""]
    lines += statistics_lines(report)
    return "\n".join([*lines, *([""] if report.counts else []), *_end(report)]) + "\n"


def summary_text(report: LintReport) -> str:
    """The report with the first findings of each rule: what ``print`` shows."""
    return text(report, SHOWN)


def coloured(report: LintReport, shown: int | None = SHOWN) -> RenderableType:
    """The report for a rich console; ``shown`` as in :func:`text`."""
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = []
    for finding in _shown(report, shown):
        line = Text(f"{finding.place}: ", style="bold")
        line.append(finding.code, style=f"bold {_COLOURS[finding.severity]}")
        line.append(f" {_said(finding)}", style="default")
        parts += [line, *(Text(below, style="dim") for below in _below(finding))]
    if parts:
        parts += [*(Text(line, style="dim") for line in _hidden(report, shown)), Text("")]
    parts += [Text(line) for line in statistics_lines(report)]
    end = _end(report)
    return Group(*parts, *([Text("")] if report.counts else []), Text(end[0], style="bold"), *map(Text, end[1:]))


def statistics_lines(report: LintReport) -> list[str]:
    """One line a rule: how often, which, what it says."""
    cells = [
        (f"{one.count:,}", one.code, one.severity, one.name, "[*]" if one.fixable else "", one.summary)
        for one in report.counts
    ]
    if not cells:
        return []
    widths = [max(len(row[at]) for row in cells) for at in range(5)]
    return [
        "  ".join(
            [
                row[0].rjust(widths[0]),
                *(cell.ljust(width) for cell, width in zip(row[1:5], widths[1:], strict=True)),
                row[5],
            ]
        )
        for row in cells
    ]


def _shown(report: LintReport, most: int | None) -> Iterator[Finding]:
    seen: Counter[str] = Counter()
    for finding in report.findings:
        seen[finding.code] += 1
        if most is None or seen[finding.code] <= most:
            yield finding


def _hidden(report: LintReport, most: int | None) -> list[str]:
    held = Counter(finding.code for finding in report.findings)
    shown = held if most is None else Counter({code: min(count, most) for code, count in held.items()})
    more = [f"{one.count - shown[one.code]:,} {one.code}" for one in report.counts if one.count > shown[one.code]]
    how = "" if most is None else "; --all shows them"
    return [f"… and more: {', '.join(more)}{how}"] if more else []


def _said(finding: Finding) -> str:
    mark = "[*] " if finding.fixable else ""
    named = f" (row {finding.row})" if finding.row is not None else ""
    return f"{mark}{message_of(finding.message, finding.path)}{named}"


def _below(finding: Finding) -> list[str]:
    lines = [f"    | {finding.excerpt}"] if finding.excerpt else []
    return lines + ([f"    = see {', '.join(finding.related)}"] if finding.related else [])


def _end(report: LintReport) -> list[str]:
    lines = [headline(report), *density_lines(report)]
    if any(count.fixable for count in report.counts):
        lines.append("What is marked [*] is mended by --fix.")
    return lines + [f"Not run: {line}" for line in report.skipped]
