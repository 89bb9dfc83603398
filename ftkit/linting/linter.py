"""Lint a dataset: one pass over the rows, then the rules that check all of them together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Literal

from ftkit.arguments import explain_calls
from ftkit.backends import Backend, backend_of
from ftkit.counts import counted
from ftkit.data import Dataset, check_dataset
from ftkit.error_text import Argument, ErrorText
from ftkit.errors import ConfigError, FtkitError
from ftkit.linting.context import LintContext
from ftkit.linting.corpus import Corpus
from ftkit.linting.finding import RuleFinding, RuleFindings
from ftkit.linting.fixing.row_fix import is_fixable
from ftkit.linting.parallel_scan import Workers, as_workers, scan_all
from ftkit.linting.registry import select_rules
from ftkit.linting.report_builder import build_report, locate_findings
from ftkit.linting.row_features import RowFeatures
from ftkit.linting.row_view import RowRange, read_rows
from ftkit.linting.rule import CorpusRule, Rule, VariantRule
from ftkit.linting.rules.duplicates import TEST_INPUT_WORDS, ContainedEval
from ftkit.linting.scan import ScanOptions, ScanResult, is_ignored
from ftkit.linting.time_budget import TimeBudget
from ftkit.linting.variant_counter import VariantCounter
from ftkit.progress import ProgressBar
from ftkit.recipe import Recipe
from ftkit.results.lint_report import SEVERITIES, Finding, LintReport

__all__ = ["find_errors", "lint"]

KEEP = 1_000
"""Findings of each rule that a report holds; all are counted."""
RULE_SECONDS = 20.0
_SHOWN_ROWS = 100
_PAUSE_S = 0.5
_SECONDS_PER_ROW = 1e-3
"""A rule on all rows may take as long for each row, if that is more than its limit."""

_NO_ANSWERS = "rules on answers: no column of answers is named; name it with target= (--target)"
_PROMPTS = (
    "rules on answers: the rows are prompts, which have none. To train on answers, add each as the last message, or "
    "name its column with target= (--target)"
)


@explain_calls(instead="ft.lint(train, test)")
def lint(
    train: Dataset,
    test: Dataset | None = None,
    *,
    backends: str | Backend | Iterable[str | Backend] = (),
    recipe: Recipe | None = None,
    select: str | Sequence[str] = (),
    ignore: str | Sequence[str] = (),
    ignore_rows: Mapping[str, Sequence[str]] | None = None,
    severity: Literal["error", "warning", "info"] = "info",
    gradients: int = 0,
    keep: int = KEEP,
    workers: Workers | str = "auto",
    rule_seconds: float | None = RULE_SECONDS,
    progress: bool = True,
) -> LintReport:
    """Find what would make training on these rows fail, mislead or waste money.

    Reads the rows once, from disk, and takes about 100 bytes of memory a row (350 if near-duplicates are searched).

    Args:
        train: the training rows.
        test: held-out rows: linted as well, and searched for leakage.
        backends: backends to train on, as ``"name:model"`` or backend objects: adds the limits of hosts, and for
            ``local:`` models the rules on tokens (which load the tokenizer, not the weights).
        recipe: the recipe to train with: adds the rules on epochs.
        select: codes, prefixes of codes (``"U"``) or names of rules; all rules if empty.
        ignore: codes, prefixes or names of rules to leave out.
        ignore_rows: by row id, codes (or prefixes, or ``"ALL"``) that are not reported for that row.
        severity: the lowest severity to run rules of: ``"error"`` runs only rules whose findings are errors.
        gradients: number of rows whose gradients rule G001 compares, in the ``local:`` models of ``backends``. This
            loads the weights, and computes a forward and a backward pass a row.
        keep: findings of each rule that the report holds; all are counted.
        workers: processes; ``"auto"`` is one a core if there are enough rows. ``ft.Ray(…)``, or its name ``"ray:…"``,
            reads the rows on a cluster, in its ``workers`` processes; rules on all rows together run here. The report
            does not depend on it.
        rule_seconds: time of each rule. A rule that needs more reads a sample, or at the first rows, and the report
            says so. Rules whose findings are errors have no limit. None: no limit for any rule.
        progress: show the progress, as :meth:`ftkit.Run.wait` does.

    Returns:
        The findings, their counts by rule, and the signal density.

    Raises:
        ConfigError: a code matches no rule, a backend is not a ``"name:model"``, or ``rule_seconds`` or ``workers`` is
            not positive.
        DataError: a file has changed since it was loaded.
        RefusedError: the nodes of the cluster lack a rule or a class that a script declares.
        HostError: the cluster cannot be used, or its job has ended.
    """
    check_dataset(train, "train")
    if test is not None:
        check_dataset(test, "test")
    workers = as_workers(workers)
    if rule_seconds is not None and not rule_seconds > 0:
        named = Argument("rule_seconds", text="rule_seconds")
        raise ConfigError(ErrorText(named, f" must be positive, not {rule_seconds}"))
    data = [("train", train)] + ([("test", test)] if test is not None else [])
    context = _context(data, backends, recipe, gradients)
    rules, skipped = _runnable(select_rules(_codes(select), _codes(ignore)), context, severity)
    if context.kind == "prompts":
        skipped = [_NO_ANSWERS if context.format == "table" else _PROMPTS, *skipped]
    if test is not None and any(isinstance(rule, ContainedEval) for rule in rules):
        context = replace(context, test_inputs=_test_inputs(test, len(train)))
    options = ScanOptions(
        keep=keep, minhash=_any_needs_minhash(rules), ignore_rows=ignore_rows or {}, rule_seconds=rule_seconds
    )
    with ProgressBar("lint: rows", sum(len(rows) for _, rows in data), enabled=progress) as bar:
        corpus, findings = _run_rules(data, rules, context, options, workers, bar)
    return build_report(corpus, findings, skipped)


def find_errors(data: Dataset, *, backends: Iterable[Backend] = (), keep: int) -> tuple[tuple[Finding, ...], int, int]:
    """Run only the rules whose findings are errors, without what only a report needs.

    Args:
        data: the rows.
        backends: backends to train on.
        keep: findings of each rule to return.

    Returns:
        The first findings of each rule, the number of all findings, and the number of rows with a finding.
    """
    splits = [("train", data)]
    context = _context(splits, backends, None, 0)
    rules, _ = _runnable(select_rules([], []), context, "error")
    features = any(isinstance(rule, CorpusRule) and rule.needs_features for rule in rules)
    options = ScanOptions(keep=keep, features=features, minhash=_any_needs_minhash(rules))
    corpus, findings = _run_rules(splits, rules, context, options, "auto")
    rows = set[int]().union(*(found.rows for found in findings.values()))
    return locate_findings(corpus, findings), sum(found.count for found in findings.values()), len(rows)


def _context(
    data: Sequence[tuple[str, Dataset]],
    backends: str | Backend | Iterable[str | Backend],
    recipe: Recipe | None,
    gradients: int,
) -> LintContext:
    train = data[0][1]
    by_name = _backends(backends)
    return LintContext(
        task=train.task,
        kind=train.kind,
        format=train.format,
        options=train.options,
        rows={name: len(rows) for name, rows in data},
        backends=tuple(by_name),
        catalog_names={name: _catalog_name(backend) for name, backend in by_name.items()},
        recipe=recipe,
        gradients=gradients,
    )


def _any_needs_minhash(rules: Iterable[Rule]) -> bool:
    return any(isinstance(rule, CorpusRule) and rule.needs_minhash for rule in rules)


def _run_rules(
    data: Sequence[tuple[str, Dataset]],
    rules: Sequence[Rule],
    context: LintContext,
    options: ScanOptions,
    workers: Workers,
    bar: ProgressBar | None = None,
) -> tuple[Corpus, dict[Rule, RuleFindings]]:
    """Scan the rows once, then check all of them together."""
    firsts = accumulate((len(rows) for _, rows in data), initial=0)
    ranges = [RowRange(rows, name, 0, len(rows), first) for (name, rows), first in zip(data, firsts, strict=False)]
    scanned = 0

    def on_rows(count: int) -> None:
        nonlocal scanned
        scanned += count
        if bar is not None and (scanned % _SHOWN_ROWS == 0 or count > 1):
            bar.update(completed=scanned)

    scans = scan_all(ranges, rules, context, options, workers=workers, on_rows=None if bar is None else on_rows)
    parts = [part.features for part in scans if part.features is not None]
    corpus = Corpus(data, RowFeatures.concatenate(parts) if parts else None, context)
    on_step = None if bar is None else lambda text: bar.update(description=f"lint: {text}")
    seconds = options.rule_seconds
    if seconds is not None:
        seconds = max(seconds, _SECONDS_PER_ROW * sum(len(rows) for _, rows in data))
    corpus.budget = TimeBudget(seconds, on_step)
    for rule in rules:
        checked = [part.limited[rule.code] for part in scans if rule.code in part.limited]
        if checked:
            corpus.budget.begin(f"{rule.code} {rule.name}")
            corpus.budget.limit(f"checked only the first {counted(sum(checked), 'row')} in its time")
    ignores = {row: codes for part in scans for row, codes in part.ignores.items()}
    return corpus, {rule: _findings(rule, corpus, scans, ignores, options.keep) for rule in rules}


def _findings(
    rule: Rule, corpus: Corpus, scans: Sequence[ScanResult], ignores: Mapping[int, Sequence[str]], keep: int
) -> RuleFindings:
    """All findings of a rule: those on all rows together, then those of the scans."""
    findings = RuleFindings(rule.severity, fixable=rule.fixable, keep=keep)
    budget = corpus.budget
    budget.begin(f"{rule.code} {rule.name}")
    together: list[Iterable[RuleFinding]] = []
    if isinstance(rule, VariantRule):
        counter = VariantCounter()
        for part in scans:
            counter.merge(part.counters.pop(rule.code))
        together.append(rule.check_counts(counter, corpus))
    if isinstance(rule, CorpusRule):
        together.append(rule.check(corpus))
    last: float | None = None
    for found in together:
        for finding in _with_fixable(rule, found, corpus) if rule.fixable else found:
            if finding.row is None or not is_ignored(rule.code, ignores.get(finding.row, ())):
                findings.add(finding)
            now = budget.spent_s
            # What a rule has computed comes at once and is kept; one that goes on computing is ended.
            if budget.left_s < 0 and last is not None and now - last > _PAUSE_S and rule.severity != "error":
                budget.limit(f"ended after {now:.0f} s, with the findings until then")
                break
            last = now
    for part in scans:
        if rule.code in part.findings:
            findings.merge(part.findings[rule.code])
    return findings


def _with_fixable(rule: Rule, found: Iterable[RuleFinding], corpus: Corpus) -> list[RuleFinding]:
    """Findings of which only those stay fixable whose rows ``--fix`` changes."""
    kept = list(found)
    rows = {finding.row for finding in kept if finding.row is not None and finding.fixable}
    fixable = {view.number for view in corpus.views(rows) if is_fixable(view, corpus.data_of(view.number), rule.code)}
    return [replace(finding, fixable=finding.row in fixable) for finding in kept]


def _backends(given: str | Backend | Iterable[str | Backend]) -> dict[str, str | Backend]:
    """The backends by ``"name:model"``."""
    backends = [given] if isinstance(given, str) or not isinstance(given, Iterable) else list(given)
    for name in backends:
        if isinstance(name, str) and not all(name.partition(":")):
            raise ConfigError(f'backend {name!r}: write it as "name:model", e.g. "local:smollm2-135m"')
        if not isinstance(name, str):
            backend_of(name)  # refuses what is neither a name nor a backend
    return {each if isinstance(each, str) else f"{each.name}:{each.model}": each for each in backends}


def _catalog_name(backend: str | Backend) -> tuple[str, str]:
    """Provider and model name in the catalogue: a hosted backend is listed by the address that it asks."""
    try:
        found = backend_of(backend)
    except FtkitError:  # no such backend; then nothing is known of it
        provider, _, model = str(backend).partition(":")
        return provider, model
    catalog_name = getattr(found, "catalog_key", None)
    return (found.name, found.model) if catalog_name is None else catalog_name()


def _codes(given: str | Sequence[str]) -> list[str]:
    return [code.strip() for code in given.split(",")] if isinstance(given, str) else list(given)


def _runnable(rules: Sequence[Rule], context: LintContext, severity: str) -> tuple[list[Rule], list[str]]:
    """The rules that can run, and sentences on those that cannot."""
    runnable: list[Rule] = []
    skipped: dict[str, list[str]] = {}
    allowed = SEVERITIES[: SEVERITIES.index(severity) + 1]
    for rule in rules:
        if rule.severity not in allowed:
            continue
        reason = rule.skip_reason(context)
        if reason is None:
            runnable.append(rule)
        elif reason:
            skipped.setdefault(reason, []).append(f"{rule.code} {rule.name}")
    return runnable, [f"{', '.join(names)}: {reason}" for reason, names in skipped.items()]


def _test_inputs(test: Dataset, first: int) -> dict[str, list[tuple[int, str, frozenset[str]]]]:
    """The test rows' inputs by their first words."""
    inputs: dict[str, list[tuple[int, str, frozenset[str]]]] = {}
    for view in read_rows(RowRange(test, "test", 0, len(test), first)):
        words = view.input_words
        if len(words) >= TEST_INPUT_WORDS:
            inputs.setdefault(" ".join(words[:TEST_INPUT_WORDS]), []).append(
                (view.number, " ".join(words), frozenset(view.media_items))
            )
    return inputs
