"""What the linter found, in all its forms."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

from ftkit.errors import ConfigError
from ftkit.files import write_atomically
from ftkit.linting.finding import Finding, Severity
from ftkit.linting.signal_density import Density
from ftkit.results.display import Shown

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["LintReport", "RuleCount"]


class RuleCount(BaseModel):
    """What one rule found in all."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    code: str
    name: str
    summary: str
    severity: Severity
    """The gravest of its findings."""
    count: int
    """Findings; more than are in the report where there are very many."""
    rows: int
    """Rows that have one or more of them."""
    fixable: bool
    """Whether ``--fix`` can mend one of them."""


class LintReport(Shown, BaseModel):
    """What the linter found; made by :func:`ftkit.lint`.

    ``print(report)`` shows it as ``file:line: CODE message``, the first five of each rule; ``report.save("lint.txt")``
    writes all that it holds, by suffix: ``.json`` (complete), ``.sarif``, ``.txt``; ``.md`` and ``.html`` are summaries
    with the first 20 and 100 of each rule.
    """

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    kind: Literal["ftkit.lint"] = "ftkit.lint"
    schema_version: Literal[1] = 1
    ftkit_version: str
    created_at: str
    """ISO 8601, UTC."""
    sources: tuple[str, ...]
    """The files, as they were named."""
    rows: dict[str, int]
    """Rows of each split."""
    findings: tuple[Finding, ...]
    """In the order of files and lines; of each rule at most ``keep``."""
    counts: tuple[RuleCount, ...]
    """Of each rule that found something, errors first."""
    flagged_rows: int
    """Rows with a finding of severity error or warning."""
    skipped: tuple[str, ...]
    """Rules that could not look, each with why."""
    density: Density

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings of severity error."""
        return tuple(finding for finding in self.findings if finding.severity == "error")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """The findings of severity warning."""
        return tuple(finding for finding in self.findings if finding.severity == "warning")

    @property
    def ok(self) -> bool:
        """Whether there is neither error nor warning."""
        return not any(count.severity != "info" for count in self.counts)

    def __getitem__(self, code: str) -> tuple[Finding, ...]:
        """The findings of one rule; none is an empty tuple."""
        return tuple(finding for finding in self.findings if finding.code == code)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the report in the form that the suffix names.

        Raises:
            ConfigError: another suffix.
        """
        target = Path(path)
        forms = {".json": "json", ".sarif": "sarif", ".md": "markdown", ".html": "html", ".txt": "text"}
        form = forms.get(target.suffix.lower())
        if form is None:
            raise ConfigError(f'{target}: the suffix "{target.suffix}" says no form; use {", ".join(forms)}')
        write_atomically(target, self.form(form))
        return target

    def form(self, name: str) -> str:
        """The report as text of a form: ``text``, ``json``, ``sarif``, ``markdown`` or ``html``.

        Raises:
            ConfigError: there is no such form.
        """
        from ftkit.render.lint import FORMS

        if name not in FORMS:
            raise ConfigError(f"there is no form {name!r}; use {', '.join(FORMS)}")
        return FORMS[name](self)

    def __str__(self) -> str:
        from ftkit.render.lint.terminal import SHOWN, text

        return text(self, SHOWN).rstrip("\n")

    def _headline(self) -> str:
        from ftkit.render.lint.summary import headline

        return headline(self)

    def __rich__(self) -> RenderableType:
        from ftkit.render.lint.terminal import coloured

        return coloured(self)

    def _repr_html_(self) -> str:
        from ftkit.render.lint.html import fragment

        return fragment(self)
