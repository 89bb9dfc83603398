"""The words and numbers that all forms share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftkit.linting.text_normalization import percent
from ftkit.results.number_format import counted

if TYPE_CHECKING:
    from ftkit.results.lint_report import LintReport

__all__ = ["density_lines", "headline", "message_of"]


def headline(report: LintReport) -> str:
    """What was looked at and how much was found."""
    return report._headline()


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
