"""One pass over a range of rows: the rules on single rows, the counts, and the features of each row."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
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
        rule_seconds: time of each rule on single rows, or a thousandth of a second for each row, if that is more. None:
            no limit. Rules whose findings are errors have none.
    """

    keep: int
    features: bool = True
    minhash: bool = False
    ignore_rows: Mapping[str, Sequence[str]] = field(default_factory=dict)
    rule_seconds: float | None = None

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
        limited: by code, the number of rows that a rule checked until its time was up.
    """

    findings: dict[str, RuleFindings]
    counters: dict[str, VariantCounter]
    features: RowFeatures | None
    ignores: dict[int, tuple[str, ...]]
    limited: dict[str, int] = field(default_factory=dict)


_TIMED = 8
"""One row of so many is timed."""
_SECONDS_PER_ROW = 1e-3


def scan(
    rows: RowRange,
    rules: Sequence[Rule],
    context: LintContext,
    options: ScanOptions,
    on_row: Callable[[], None] | None = None,
) -> ScanResult:
    """Read every row of a range once.

    Args:
        rows: the range.
        rules: the rules; those on all rows together are left out.
        context: what the rows are linted for.
        options: how to scan.
        on_row: called after each row.

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
    clock = _RuleClock(options.rule_seconds, rows.stop - rows.start)
    for position, view in enumerate(read_rows(rows)):
        ignored = options.ignored(view)
        if ignored:
            ignores[view.number] = ignored
        timed = position % _TIMED == 0
        for rule, reported in row_rules:
            if (ignored and is_ignored(rule.code, ignored)) or rule.code in clock.limited:
                continue
            started = time.perf_counter() if timed else 0.0
            for finding in rule.check(view, context):
                fixable = finding.fixable and rule.fixable and is_fixable(view, rows.data, rule.code)
                reported.add(replace(finding, row=view.number, fixable=fixable))
            if timed:
                clock.add(rule, time.perf_counter() - started, position + 1)
        if on_row is not None:
            on_row()
        if view.row is not None:
            for observe, count in variant_rules:
                for key, variant in observe(view, context):
                    count(key, variant, view.number)
        if features is not None:
            features.add(view)
    return ScanResult(findings, counters, None if features is None else features.build(), ignores, clock.limited)


class _RuleClock:
    """Sums the time of each rule on single rows, and says which have used theirs up."""

    def __init__(self, seconds: float | None, rows: int) -> None:
        self._allowed = None if seconds is None else max(seconds, rows * _SECONDS_PER_ROW)
        self._spent: dict[str, float] = {}
        self.limited: dict[str, int] = {}

    def add(self, rule: Rule, seconds: float, checked: int) -> None:
        """Add the time of one row of :data:`_TIMED`."""
        spent = self._spent[rule.code] = self._spent.get(rule.code, 0.0) + seconds * _TIMED
        if self._allowed is not None and spent > self._allowed and rule.severity != "error":
            self.limited[rule.code] = checked


def is_ignored(code: str, ignored: Sequence[str]) -> bool:
    """Say whether a rule is among ignored codes.

    Args:
        code: the rule's code.
        ignored: codes, prefixes of codes, or ``ALL``.

    Returns:
        Whether one of them names the rule.
    """
    return any(prefix == "ALL" or code.startswith(prefix) for prefix in ignored)
