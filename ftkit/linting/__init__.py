"""Rules on fine-tuning data: what would make training fail, mislead or waste, found before money is spent.

:func:`lint` is the door. ``rules/`` holds the rules, one small class each; ``sweeping`` runs them over the rows,
``whole`` is what is known of all rows together, ``similar`` finds near-duplicates, ``density`` makes one number of it,
``forms`` writes the report, ``fixing`` mends what can be mended safely.
"""

from __future__ import annotations

from ftkit.linting.finding import Found
from ftkit.linting.linter import lint
from ftkit.linting.registry import known_rules, lint_rule, rule_of
from ftkit.linting.rule import RowRule, Rule, TallyRule, WholeRule
from ftkit.results.lint_report import Finding, LintReport, RuleCount, Severity

__all__ = [
    "Finding",
    "Found",
    "LintReport",
    "RowRule",
    "Rule",
    "RuleCount",
    "Severity",
    "TallyRule",
    "WholeRule",
    "known_rules",
    "lint",
    "lint_rule",
    "rule_of",
]
