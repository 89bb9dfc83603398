"""What the linter found: findings, counts by rule, and signal density."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict
from typing_extensions import override

from ftkit.errors import ConfigError, FtkitError
from ftkit.results.number_format import counted
from ftkit.results.result import Result

__all__ = ["SEVERITIES", "Density", "Finding", "LintReport", "RuleCount", "Severity"]

Severity = Literal["error", "warning", "info"]
"""``error``: the row cannot be trained on, or what is measured on it is void. ``warning``: it teaches something that
was hardly meant. ``info``: worth knowing."""

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")


class Finding(BaseModel):
    """What was found, where."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    code: str
    name: str
    severity: Severity
    message: str
    split: str | None = None
    """``train`` or ``test``; None for a finding about the data as a whole."""
    file: str | None = None
    line: int | None = None
    row: str | None = None
    """The row's id, None where it could not be read."""
    path: str | None = None
    """A column, a message's field, or the JSON path in the answer."""
    excerpt: str | None = None
    related: tuple[str, ...] = ()
    """Places of other rows that have to do with it, as ``file:line``."""
    fixable: bool = False

    @property
    def place(self) -> str:
        """``file:line``, or the file alone."""
        return f"{self.file}:{self.line}" if self.line is not None else (self.file or "(all rows)")


class Density(BaseModel):
    """How much of the training rows teaches.

    Each part is a share of the usable training rows, from 0 to 1; the score is 100 times their product. So a set loses
    as much by a tenth of contradictions as by a tenth of duplicates, and one that is bad in two ways is worse than in
    one. It is ftkit's own measure: use it to see a set get better, not to compare two different tasks.
    """

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    score: float
    """0 to 100."""
    usable: float
    """Of all training rows, those without any finding of severity error."""
    unique: float
    """Rows that no earlier one says already (U001, U002, U003)."""
    agreeing: float
    """Rows that no other one contradicts (L001, L002, P004)."""
    consistent: float
    """Rows written like the others (C001–C012)."""
    rows: int
    """Training rows."""
    effective: float
    """Examples that are left when what says the same counts once and what contradicts cancels out."""


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


class LintReport(Result, BaseModel):
    """What the linter found; made by :func:`ftkit.lint`.

    ``print(report)`` shows it as ``file:line: CODE message``, the first five of each rule; ``report.save("lint.txt")``
    writes all that it holds, by suffix: ``.json`` (complete), ``.sarif``, ``.txt``; ``.md`` and ``.html`` are summaries
    with the first 20 and 100 of each rule.
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
        return str(self.render("summary")).rstrip("\n")

    @property
    def headline(self) -> str:
        """Rows and number of findings, in one sentence."""
        rows = ", ".join(
            f"{counted(count, 'row')} to {'train on' if name == 'train' else name}" for name, count in self.rows.items()
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
            f"{by_severity['info']:,} to know",
        ]
        return f"{', '.join(parts)} in {rows}."

    @override
    def _headline(self) -> str:
        return self.headline
