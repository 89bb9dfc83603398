"""The forms of a report, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ftkit.render.lint.html import page
from ftkit.render.lint.markdown import markdown
from ftkit.render.lint.sarif import sarif
from ftkit.render.lint.terminal import text

if TYPE_CHECKING:
    from ftkit.results.lint_report import LintReport

__all__ = ["FORMS"]


def _json(report: LintReport) -> str:
    return report.model_dump_json(indent=1) + "\n"


FORMS: dict[str, Callable[[LintReport], str]] = {
    "text": text,
    "json": _json,
    "sarif": sarif,
    "markdown": markdown,
    "html": page,
}
