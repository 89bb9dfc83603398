"""One pass over a range of rows: the rules on single rows, the counts, and the features of each row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ftkit.linting.context import LintContext
from ftkit.linting.finding import RuleFindings
from ftkit.linting.fixing.row_fix import is_fixable
from ftkit.linting.row_features import RowFeatures, RowFeaturesBuilder
from ftkit.linting.row_view import RowRange, RowView, ignored_codes, read_rows
from ftkit.linting.rule import RowRule, Rule, VariantRule
from ftkit.linting.variant_counter import VariantCounter

__all__ = ["ScanOptions", "ScanResult", "is_ignored", "scan"]


@dataclass(frozen=True, slots=True)
class ScanOptions:
    """How rows are scanned.

    Attributes:
        keep: findings of each rule that are kept whole; all are counted.
        features: whether to compute the features of each row.
        minhash: whether the features contain MinHash sketches.
        ignore_rows: by row id, codes (or prefixes, or ``ALL``) that are not reported for the row.
    """

    keep: int
    features: bool = True
    minhash: bool = False
    ignore_rows: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def ignored(self, view: RowView) -> tuple[str, ...]:
        """Return the codes that are not reported for a row.

        Args:
            view: the row.

        Returns:
            Codes or prefixes in upper case, from the row's own column and from :attr:`ignore_rows`.
        """
        by_id = self.ignore_rows.get(view.row.id, ()) if self.ignore_rows and view.row is not None else ()
        return (*ignored_codes(view.columns), *map(str.upper, by_id))


@dataclass(slots=True)
class ScanResult:
    """What a pass over a range of rows gives.

    Attributes:
        findings: findings of the rules on single rows, by code.
        counters: counts of the rules on variants, by code.
        features: features of every row; None if they were not asked for.
        ignores: by row number, the codes that are not reported for the row.
    """

    findings: dict[str, RuleFindings]
    counters: dict[str, VariantCounter]
    features: RowFeatures | None
    ignores: dict[int, tuple[str, ...]]


def scan(rows: RowRange, rules: Sequence[Rule], context: LintContext, options: ScanOptions) -> ScanResult:
    """Read every row of a range once.

    Args:
        rows: the range.
        rules: the rules; those on all rows together are left out.
        context: what the rows are linted for.
        options: how to scan.

    Returns:
        Findings, counts and features.
    """
    features = RowFeaturesBuilder(minhash=options.minhash) if options.features else None
    findings = {
        rule.code: RuleFindings(rule.severity, fixable=rule.fixable, keep=options.keep)
        for rule in rules
        if isinstance(rule, RowRule)
    }
    row_rules = [(rule, findings[rule.code]) for rule in rules if isinstance(rule, RowRule)]
    counters = {rule.code: VariantCounter() for rule in rules if isinstance(rule, VariantRule)}
    variant_rules = [(rule.observe, counters[rule.code].add) for rule in rules if isinstance(rule, VariantRule)]
    ignores: dict[int, tuple[str, ...]] = {}
    for view in read_rows(rows):
        ignored = options.ignored(view)
        if ignored:
            ignores[view.number] = ignored
        for rule, reported in row_rules:
            if ignored and is_ignored(rule.code, ignored):
                continue
            for finding in rule.check(view, context):
                fixable = finding.fixable and rule.fixable and is_fixable(view, rows.data, rule.code)
                reported.add(replace(finding, row=view.number, fixable=fixable))
        if view.row is not None:
            for observe, count in variant_rules:
                for key, variant in observe(view, context):
                    count(key, variant, view.number)
        if features is not None:
            features.add(view)
    return ScanResult(findings, counters, None if features is None else features.build(), ignores)


def is_ignored(code: str, ignored: Sequence[str]) -> bool:
    """Say whether a rule is among ignored codes.

    Args:
        code: the rule's code.
        ignored: codes, prefixes of codes, or ``ALL``.

    Returns:
        Whether one of them names the rule.
    """
    return any(prefix == "ALL" or code.startswith(prefix) for prefix in ignored)
