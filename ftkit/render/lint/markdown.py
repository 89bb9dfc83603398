"""A report as Markdown: for a pull request or a wiki."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftkit.render.lint.summary import density_lines, headline, message_of

if TYPE_CHECKING:
    from ftkit.results.lint_report import LintReport

__all__ = ["markdown"]

_SHOWN = 20


def markdown(report: LintReport) -> str:
    """Headline, a table of rules, and of each rule the first findings."""
    lines = ["# Lint report", "", f"**{headline(report)}**", "", *(f"{line}  " for line in density_lines(report)), ""]
    if report.counts:
        lines += ["| findings | rows | code | severity | rule |", "|---:|---:|---|---|---|"]
        lines += [
            f"| {count.count:,} | {count.rows:,} | {count.code} | {count.severity} | {_cell(count.summary)} |"
            for count in report.counts
        ]
    for count in report.counts:
        found = report[count.code]
        lines += ["", f"## {count.code} {count.name}", ""]
        for finding in found[:_SHOWN]:
            shown = f" — {_code(finding.excerpt)}" if finding.excerpt else ""
            related = f"; see {', '.join(map(_code, finding.related))}" if finding.related else ""
            said = _cell(message_of(finding.message, finding.path))
            lines.append(f"- {_code(finding.place)} {said}{related}{shown}")
        if count.count > _SHOWN:
            lines.append(f"- … and {count.count - _SHOWN:,} more")
    if report.skipped:
        lines += ["", "## Not run", "", *(f"- {_cell(line)}" for line in report.skipped)]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """Text that cannot become markup or end a table's cell."""
    for character in "\\`*_[]<>|#":
        text = text.replace(character, f"\\{character}")
    return text.replace("\n", " ")


def _code(text: str) -> str:
    longest = max((len(run) for run in text.replace("`", " ` ").split() if set(run) == {"`"}), default=0)
    fence = "`" * (text.count("`") + 1 if longest else 1)
    inner = text.replace("\n", " ").replace("|", "\\|")
    return f"{fence}{' ' if longest else ''}{inner}{' ' if longest else ''}{fence}"
