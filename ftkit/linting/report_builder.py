"""Make a report of the findings of all rules."""

from __future__ import annotations

import datetime
import importlib.metadata
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ftkit.linting.corpus import Corpus
from ftkit.linting.finding import RuleFinding, RuleFindings
from ftkit.linting.row_view import RowView
from ftkit.linting.rule import Rule
from ftkit.linting.rules.safety import Secret, mask_secrets
from ftkit.linting.signal_density import signal_density
from ftkit.linting.text_normalization import excerpt
from ftkit.results.lint_report import SEVERITIES, Finding, LintReport, RuleCount

__all__ = ["build_report", "locate_findings"]


def build_report(corpus: Corpus, findings: Mapping[Rule, RuleFindings], skipped: Sequence[str]) -> LintReport:
    """Make the report.

    Args:
        corpus: all rows.
        findings: findings of every rule that ran, in the order of the rules.
        skipped: sentences on rules that could not run.

    Returns:
        The report.
    """
    order = {rule.code: number for number, rule in enumerate(findings)}
    counts = [_count(rule, found) for rule, found in findings.items() if found.count]
    rows_by_code = {rule.code: found.rows for rule, found in findings.items()}
    flagged = [rows_by_code[count.code] for count in counts if count.severity != "info"]
    return LintReport(
        ftkit_version=_version(),
        created_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        sources=corpus.sources,
        rows=dict(corpus.context.rows),
        findings=locate_findings(corpus, findings),
        counts=tuple(sorted(counts, key=lambda count: (SEVERITIES.index(count.severity), order[count.code]))),
        flagged_rows=len(set().union(*flagged)),
        skipped=tuple(skipped),
        limited=tuple(f"{rule} {what}" for rule, what in corpus.budget.limited.items()),
        density=signal_density(
            corpus.features,
            {code: _numbers(rows) for code, rows in rows_by_code.items()},
            {rule.code: rule.density_part for rule in findings if rule.density_part is not None},
            _numbers(set().union(*(found.error_rows for found in findings.values()))),
            next(iter(corpus.context.rows.values())),
        ),
    )


def locate_findings(corpus: Corpus, findings: Mapping[Rule, RuleFindings]) -> tuple[Finding, ...]:
    """Add to each kept finding the place of its row. Reads these rows again.

    Args:
        corpus: all rows.
        findings: findings of every rule that ran, in the order of the rules.

    Returns:
        The findings in the order of the rows; those about all rows come first.
    """
    with_secrets = next((found.rows for rule, found in findings.items() if isinstance(rule, Secret)), set())
    kept = [(rule, finding) for rule, found in findings.items() for finding in found.kept]
    kept.sort(key=lambda item: -1 if item[1].row is None else item[1].row)
    views = corpus.views(finding.row for _, finding in kept if finding.row is not None)
    located, view = [], None
    for rule, finding in kept:  # in the order of the rows, as the views are
        if finding.row is not None and (view is None or view.number != finding.row):
            view = next(views)
        located.append(_finding(corpus, rule, finding, None if finding.row is None else view, with_secrets))
    return tuple(located)


def _count(rule: Rule, found: RuleFindings) -> RuleCount:
    return RuleCount(
        code=rule.code,
        name=rule.name,
        summary=rule.summary,
        severity=min(found.severities, key=SEVERITIES.index),
        count=found.count,
        rows=len(found.rows),
        fixable=found.fixable,
    )


def _finding(corpus: Corpus, rule: Rule, finding: RuleFinding, view: RowView | None, with_secrets: set[int]) -> Finding:
    """A finding with the place of its row."""
    location: dict[str, object] = {}
    shown = finding.excerpt
    if view is not None:
        location = {"split": view.split, "file": view.place.source, "line": view.place.line, "number": view.place.row}
        if view.row is not None:
            location["row"] = view.row.id
            if shown is None:
                shown = excerpt(f"{view.input} → {view.answer}" if len(view.input) < 60 else view.input, width=100)
        if shown is not None and view.number in with_secrets:
            shown = mask_secrets(shown)
    return Finding.model_validate(
        {
            "code": rule.code,
            "name": rule.name,
            "severity": finding.severity or rule.severity,
            "message": finding.message,
            "path": finding.path,
            "excerpt": shown,
            "related": tuple(str(corpus.place(number)) for number in finding.others),
            "fixable": rule.fixable and finding.fixable,
            **location,
        }
    )


def _numbers(rows: Iterable[int]) -> NDArray[np.int64]:
    return np.array(sorted(rows), dtype=np.int64)


def _version() -> str:
    try:
        return importlib.metadata.version("ftkit")
    except importlib.metadata.PackageNotFoundError:  # a checkout that is not installed
        return "unknown"
