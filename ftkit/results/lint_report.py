"""Lint reports: findings, counts by rule, and signal density."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict
from typing_extensions import override

from ftkit.counts import counted
from ftkit.errors import ConfigError, FtkitError
from ftkit.printable import printable
from ftkit.results.result import Result

__all__ = ["SEVERITIES", "Density", "Finding", "LintReport", "RuleCount", "Severity"]

Severity = Literal["error", "warning", "info"]
"""``error``: the row cannot be trained on, or makes an evaluation invalid. ``warning``: the row probably teaches
something unintended. ``info``: worth knowing."""

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")


class Finding(BaseModel):
    """A problem and its place."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    code: str
    name: str
    severity: Severity
    message: str
    split: str | None = None
    """``train`` or ``test``; None for a finding about all rows."""
    file: str | None = None
    line: int | None = None
    number: int | None = None
    """Number of the row in its file, from 1, where several rows share a line; else None."""
    row: str | None = None
    """Id of the row; None if it could not be read."""
    path: str | None = None
    """Column, field of a message, or JSON path in the answer."""
    excerpt: str | None = None
    related: tuple[str, ...] = ()
    """Places of related rows, as ``file:line``."""
    fixable: bool = False

    @property
    def place(self) -> str:
        """``file:line``, or the file; ``file: row 3`` where several rows share a line."""
        if self.number is not None:
            return f"{self.file}: row {self.number}"
        return f"{self.file}:{self.line}" if self.line is not None else (self.file or "(all rows)")


class Density(BaseModel):
    """Share of the training rows that carry signal.

    Each part is a share of the usable training rows, from 0 to 1; the score is 100 times their product. A tenth of
    contradictions lowers it as much as a tenth of duplicates. It is ftkit's own measure: use it to see a dataset
    improve, not to compare two tasks.
    """

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    score: float
    """From 0 to 100."""
    usable: float
    """Share of training rows without an error."""
    unique: float
    """Share of rows that do not repeat an earlier row (U001, U002, U003)."""
    agreeing: float
    """Share of rows that no other row contradicts (L001, L002, P004)."""
    consistent: float
    """Share of rows in the style of the others (C001–C012)."""
    rows: int
    """Number of training rows."""
    effective: float
    """Effective number of examples: duplicates count once, contradictions cancel out."""


class RuleCount(BaseModel):
    """Number of findings of one rule."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    code: str
    name: str
    summary: str
    severity: Severity
    """Highest severity of its findings."""
    count: int
    """Number of findings. The report may hold fewer."""
    rows: int
    """Number of rows with a finding."""
    fixable: bool
    """Whether ``--fix`` can correct at least one of them."""


class LintReport(Result, BaseModel):
    """Findings of the linter; :func:`ftkit.lint` returns it.

    ``print(report)`` shows the first five findings of each rule as ``file:line: CODE message``. ``report.save(path)``
    writes all findings to ``.json``, ``.sarif`` and ``.txt``, the first 20 of each rule to ``.md``, the first 100 to
    ``.html``.
    """

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)
    result_type: ClassVar[str] = "lint"
    save_error: ClassVar[type[FtkitError]] = ConfigError

    kind: Literal["ftkit.lint"] = "ftkit.lint"
    schema_version: Literal[1] = 1
    ftkit_version: str
    created_at: str
    """ISO 8601, UTC."""
    sources: tuple[str, ...]
    """Names of the files."""
    rows: dict[str, int]
    """Number of rows of each split."""
    findings: tuple[Finding, ...]
    """Findings in the order of files and lines; at most ``keep`` of each rule."""
    counts: tuple[RuleCount, ...]
    """Counts of each rule with findings, errors first."""
    flagged_rows: int
    """Number of rows with an error or a warning."""
    skipped: tuple[str, ...]
    """Rules that did not run, with reasons."""
    limited: tuple[str, ...] = ()
    """Rules that looked at a part of the data, or were ended, because their time was up; what each left out."""
    density: Density

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Findings of severity error."""
        return tuple(finding for finding in self.findings if finding.severity == "error")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """Findings of severity warning."""
        return tuple(finding for finding in self.findings if finding.severity == "warning")

    @property
    def ok(self) -> bool:
        """Whether there are no errors and no warnings."""
        return not any(count.severity != "info" for count in self.counts)

    def __getitem__(self, code: str) -> tuple[Finding, ...]:
        """Return the findings of one rule."""
        return tuple(finding for finding in self.findings if finding.code == code)

    def form(self, name: str) -> str:
        """Render the report as text in one form.

        Args:
            name: ``text``, ``json``, ``sarif``, ``markdown`` or ``html``.

        Returns:
            The text.

        Raises:
            ConfigError: There is no such form.
        """
        if name not in self.forms():
            raise ConfigError(f"there is no form {name!r}; use {', '.join(self.forms())}")
        return str(self.render(name))

    @override
    def to_json(self) -> str:
        return self.model_dump_json(indent=1) + "\n"

    @override
    def __str__(self) -> str:
        return printable(str(self.render("summary"))).rstrip("\n")

    @property
    def headline(self) -> str:
        """Rows and number of findings, in one sentence."""
        rows = ", ".join(
            f"{counted(count, 'training row' if name == 'train' else f'{name} row')}"
            for name, count in self.rows.items()
        )
        by_severity = {
            severity: sum(c.count for c in self.counts if c.severity == severity)
            for severity in ("error", "warning", "info")
        }
        if not any(by_severity.values()):
            return f"All checks passed: {rows}."
        parts = [
            counted(by_severity["error"], "error"),
            counted(by_severity["warning"], "warning"),
            counted(by_severity["info"], "note"),
        ]
        return f"{', '.join(parts)} in {rows}."

    @override
    def _headline(self) -> str:
        return self.headline
