"""The words and numbers that all forms share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftkit.linting.text_normalization import counted, percent

if TYPE_CHECKING:
    from ftkit.results.lint_report import LintReport

__all__ = ["density_lines", "headline", "message_of"]


def headline(report: LintReport) -> str:
    """What was looked at and how much was found."""
    rows = ", ".join(
        f"{counted(count, 'row')} to {'train on' if name == 'train' else name}" for name, count in report.rows.items()
    )
    by_severity = {
        severity: sum(c.count for c in report.counts if c.severity == severity)
        for severity in ("error", "warning", "info")
    }
    if not any(by_severity.values()):
        return f"All checks passed: {rows}."
    parts = [
        counted(by_severity["error"], "error"),
        counted(by_severity["warning"], "warning"),
        f"{by_severity['info']:,} to know",
    ]
    return f"{', '.join(parts)} in {rows}."


def density_lines(report: LintReport) -> list[str]:
    """The score with its parts, and the effective number of examples."""
    found = report.density
    parts = ", ".join(
        f"{name} {percent(getattr(found, name), 1)}" for name in ("usable", "unique", "agreeing", "consistent")
    )
    return [
        f"Signal density {found.score:.0f} of 100 ({parts}).",
        f"{counted(found.rows, 'training row')} count as {counted(round(found.effective), 'example')}.",
    ]


def message_of(message: str, path: str | None) -> str:
    """The message with the place inside the row."""
    return f"{path}: {message}" if path and path != "$" else message
