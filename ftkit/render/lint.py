"""Lint reports as text in ruff's form (``file:line: CODE message``), for rich consoles, as Markdown and as HTML."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ftkit.counts import counted
from ftkit.render.table import Column, Line, Table, escape_markdown, markdown_list, to_rich, to_text
from ftkit.render.templates import render_fragment, render_page
from ftkit.results.lint_report import Finding, LintReport

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = [
    "count_table",
    "lint_markdown",
    "lint_notebook",
    "lint_page",
    "lint_rich",
    "lint_summary",
    "lint_text",
    "message_of",
]

_TERMINAL_FINDINGS = 5
"""Findings of each rule that ``print`` and terminals show."""
_NOTEBOOK_FINDINGS = 20
_PAGE_FINDINGS = 100
_STYLES = {"error": "red", "warning": "yellow", "info": "cyan"}


def lint_text(report: LintReport) -> str:
    """Write a lint report as text, with every finding that it holds.

    Args:
        report: The lint report.

    Returns:
        The text.
    """
    return to_text(_blocks(report, None)) + "\n"


def lint_summary(report: LintReport) -> str:
    """Write a lint report as text, with the first five findings of each rule.

    Args:
        report: The lint report.

    Returns:
        The text.
    """
    return to_text(_blocks(report, _TERMINAL_FINDINGS)) + "\n"


def lint_rich(report: LintReport, limit: int | None = _TERMINAL_FINDINGS) -> RenderableType:
    """Build a lint report for a rich console.

    Args:
        report: The lint report.
        limit: Findings shown of each rule; None shows all that the report holds.

    Returns:
        What a rich console prints.
    """
    return to_rich(_blocks(report, limit))


def lint_markdown(report: LintReport) -> str:
    """Write a lint report as Markdown: a table of rules, then the first 20 findings of each.

    Args:
        report: The lint report.

    Returns:
        Markdown.
    """
    parts = ["# Lint report", f"**{report.headline}**", "  \n".join(_density(report))]
    if report.counts:
        columns: list[str | Column] = [Column("findings", "right"), Column("rows", "right"), "code", "severity", "rule"]
        rows = [[f"{c.count:,}", f"{c.rows:,}", c.code, c.severity, c.summary] for c in report.counts]
        parts.append(Table(columns, rows).markdown())
    for count in report.counts:
        lines = [_markdown_line(finding) for finding in report[count.code][:_NOTEBOOK_FINDINGS]]
        if count.count > _NOTEBOOK_FINDINGS:
            lines.append(f"- … and {count.count - _NOTEBOOK_FINDINGS:,} more")
        parts += [f"## {count.code} {count.name}", "\n".join(lines)]
    if report.limited:
        parts += ["## Sampled", markdown_list(report.limited)]
    if report.skipped:
        parts += ["## Not run", markdown_list(report.skipped)]
    return "\n\n".join(parts) + "\n"


def lint_page(report: LintReport) -> str:
    """Render a lint report as a page, with the first 100 findings of each rule.

    Args:
        report: The lint report.

    Returns:
        HTML.
    """
    title = f"lint: {', '.join(report.sources)}"
    return render_page(
        "lint", title, report=report, density=_density(report), limit=_PAGE_FINDINGS, message_of=message_of
    )


def lint_notebook(report: LintReport) -> str:
    """Render a lint report for a notebook, with the first 20 findings of each rule.

    Args:
        report: The lint report.

    Returns:
        HTML.
    """
    return render_fragment(
        "lint_findings",
        report=report,
        density=_density(report),
        limit=_NOTEBOOK_FINDINGS,
        message_of=message_of,
    )


def count_table(report: LintReport) -> Table:
    """Build the table of rules that found something: how often, code, severity, name, whether fixable, summary.

    Args:
        report: The lint report.

    Returns:
        The table, without a header.
    """
    rows = [[f"{c.count:,}", c.code, c.severity, c.name, "[*]" if c.fixable else "", c.summary] for c in report.counts]
    return Table([Column(align="right"), *[Column()] * 4, Column(wrap=True)], rows, header=False)


def message_of(finding: Finding) -> str:
    """Write a finding's message with the place inside the row.

    Args:
        finding: The finding.

    Returns:
        The message.
    """
    return f"{finding.path}: {finding.message}" if finding.path and finding.path != "$" else finding.message


def _blocks(report: LintReport, limit: int | None) -> list[Line | Table]:
    blocks: list[Line | Table] = []
    for finding in _shown(report, limit):
        mark = "[*] " if finding.fixable else ""
        row = f" (row {finding.row})" if finding.row is not None else ""
        code = (finding.code, f"bold {_STYLES[finding.severity]}")
        blocks.append(Line([(f"{finding.place}: ", "bold"), code, f" {mark}{message_of(finding)}{row}"]))
        if finding.excerpt:
            blocks.append(Line.of(f"    | {finding.excerpt}", "dim"))
        if finding.related:
            blocks.append(Line.of(f"    = see {', '.join(finding.related)}", "dim"))
    if blocks:
        blocks += [*_hidden(report, limit), Line.of("")]
    if report.counts:
        blocks += [count_table(report), Line.of("")]
    blocks += [Line.of(report.headline, "bold"), *map(Line.of, _density(report))]
    if any(count.fixable for count in report.counts):
        blocks.append(Line.of("--fix corrects the findings marked [*]."))
    limits = [Line.of(f"Sampled: {line}", "yellow") for line in report.limited]
    return [*blocks, *limits, *(Line.of(f"Not run: {line}") for line in report.skipped)]


def _shown(report: LintReport, limit: int | None) -> Iterator[Finding]:
    counts: Counter[str] = Counter()
    for finding in report.findings:
        counts[finding.code] += 1
        if limit is None or counts[finding.code] <= limit:
            yield finding


def _hidden(report: LintReport, limit: int | None) -> list[Line]:
    held = Counter(finding.code for finding in report.findings)
    shown = held if limit is None else Counter({code: min(count, limit) for code, count in held.items()})
    more = [f"{c.count - shown[c.code]:,} {c.code}" for c in report.counts if c.count > shown[c.code]]
    how = "" if limit is None else "; --all shows them"
    return [Line.of(f"… and more: {', '.join(more)}{how}", "dim")] if more else []


def _density(report: LintReport) -> list[str]:
    density = report.density
    parts = ", ".join(
        f"{name} {getattr(density, name) * 100:.1f} %" for name in ("usable", "unique", "agreeing", "consistent")
    )
    return [
        f"Signal density {density.score:.0f} of 100 ({parts}).",
        f"{counted(density.rows, 'training row')} count as {counted(round(density.effective), 'example')}.",
    ]


def _markdown_line(finding: Finding) -> str:
    related: Sequence[str] = [_markdown_code(place) for place in finding.related]
    see = f"; see {', '.join(related)}" if related else ""
    excerpt = f" — {_markdown_code(finding.excerpt)}" if finding.excerpt else ""
    return f"- {_markdown_code(finding.place)} {escape_markdown(message_of(finding))}{see}{excerpt}"


def _markdown_code(text: str) -> str:
    """Code in Markdown; a text that contains backticks gets a longer fence."""
    inner = text.replace("\n", " ").replace("|", "\\|")
    fence = "`" * (text.count("`") + 1)
    return f"{fence} {inner} {fence}" if "`" in text else f"`{inner}`"
