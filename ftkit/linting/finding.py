"""What rules report: single findings, and the findings of a rule with exact counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ftkit.results.lint_report import Severity

__all__ = ["RuleFinding", "RuleFindings"]


@dataclass(frozen=True, slots=True)
class RuleFinding:
    """What a rule yields. Cheap, because there may be a million.

    Attributes:
        message: what is wrong and what to do, one sentence without the place.
        path: where in the row: a column, a message's field, or the JSON path in the answer.
        excerpt: text to show under the message.
        row: number of the row among all linted rows. Filled in for rules that check one row; None for a finding about
            the data as a whole.
        others: numbers of related rows.
        severity: replaces the rule's own severity.
        fixable: whether ``--fix`` can fix this finding, of a rule whose findings can be fixed.
    """

    message: str
    path: str | None = None
    excerpt: str | None = None
    row: int | None = None
    others: tuple[int, ...] = ()
    severity: Severity | None = None
    fixable: bool = True


class RuleFindings:
    """The findings of one rule: the first ones whole, and exact counts of all.

    Attributes:
        kept: the first ``keep`` findings.
        count: number of all findings.
        rows: numbers of the rows with a finding.
        error_rows: those with a finding of severity ``error``.
        severities: severities that occur.
        fixable: whether any finding can be fixed.

    Args:
        severity: the rule's severity, for findings without their own.
        fixable: whether the rule's findings can be fixed.
        keep: findings to keep whole.
    """

    def __init__(self, severity: Severity, *, fixable: bool, keep: int) -> None:
        self._severity = severity
        self._can_be_fixed = fixable
        self._keep = keep
        self.kept: list[RuleFinding] = []
        self.count = 0
        self.rows: set[int] = set()
        self.error_rows: set[int] = set()
        self.severities: set[Severity] = set()
        self.fixable = False

    def settings(self) -> dict[str, Any]:
        """Return the arguments with which other findings of the same rule are made.

        Returns:
            The arguments by name.
        """
        return {"severity": self._severity, "fixable": self._can_be_fixed, "keep": self._keep}

    def add(self, finding: RuleFinding) -> None:
        """Count a finding, and keep it if it is among the first ones.

        Args:
            finding: the finding.
        """
        severity = finding.severity or self._severity
        self.count += 1
        self.severities.add(severity)
        self.fixable = self.fixable or (self._can_be_fixed and finding.fixable)
        if finding.row is not None:
            self.rows.add(finding.row)
            if severity == "error":
                self.error_rows.add(finding.row)
        if len(self.kept) < self._keep:
            self.kept.append(finding)

    def merge(self, other: RuleFindings) -> None:
        """Add the findings of the same rule in other rows.

        Args:
            other: the findings to add.
        """
        self.kept += other.kept[: max(0, self._keep - len(self.kept))]
        self.count += other.count
        self.rows |= other.rows
        self.error_rows |= other.error_rows
        self.severities |= other.severities
        self.fixable = self.fixable or other.fixable
