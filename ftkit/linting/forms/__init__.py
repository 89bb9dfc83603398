"""The forms of a report, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ftkit.linting.forms.html import page
from ftkit.linting.forms.markdown import markdown
from ftkit.linting.forms.sarif import sarif
from ftkit.linting.forms.terminal import text

if TYPE_CHECKING:
    from ftkit.linting.report import LintReport

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
