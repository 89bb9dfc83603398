"""Lint fine-tuning data: find what would make training fail, mislead or waste money, before it is paid for.

:func:`lint` scans the rows once (``scan``, ``row_view``, ``row_features``), runs the rules of ``rules/`` (and those of
packages and scripts, see ``registry``), and makes a :class:`~ftkit.results.lint_report.LintReport`. ``fixing`` fixes
what can be fixed without changing what a row means.
"""

from __future__ import annotations

from ftkit.linting.finding import RuleFinding
from ftkit.linting.linter import lint
from ftkit.linting.registry import find_rule, known_rules, lint_rule, lint_rules
from ftkit.linting.rule import CorpusRule, RowRule, Rule, VariantRule
from ftkit.results.lint_report import Finding, LintReport, RuleCount, Severity

Found = RuleFinding
"""Former name of :class:`RuleFinding`."""

__all__ = [
    "CorpusRule",
    "Finding",
    "Found",
    "LintReport",
    "RowRule",
    "Rule",
    "RuleCount",
    "RuleFinding",
    "Severity",
    "VariantRule",
    "find_rule",
    "known_rules",
    "lint",
    "lint_rule",
    "lint_rules",
]
