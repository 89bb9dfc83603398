"""Linting a dataset: one pass over the rows, then the rules that look at all of them together."""

from __future__ import annotations

import datetime
import importlib.metadata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ftkit.backends import Backend, backend_of
from ftkit.data import Dataset, check_dataset
from ftkit.errors import ConfigError, FtkitError
from ftkit.linting.context import Setting
from ftkit.linting.corpus import Whole
from ftkit.linting.counter import Tally
from ftkit.linting.finding import Found
from ftkit.linting.parallel_scan import Workers, sweep_all
from ftkit.linting.registry import chosen_rules
from ftkit.linting.row_features import Facts
from ftkit.linting.rule import Rule, TallyRule, WholeRule
from ftkit.linting.rules.duplicates import EVAL_WORDS
from ftkit.linting.rules.safety import hidden
from ftkit.linting.scan import Stretch, rows_of
from ftkit.linting.signal_density import density_of
from ftkit.linting.text_normalization import excerpt, key
from ftkit.recipe import Recipe
from ftkit.results.lint_report import SEVERITIES, Finding, LintReport, RuleCount

__all__ = ["lint"]

KEEP = 1_000
"""Findings of each rule that a report holds; all are counted."""

_NO_ANSWERS = "rules on answers: no column of answers is named; say which with target= (--target)"


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
    workers: Workers = "auto",
) -> LintReport:
    """Look for what would make training on these rows fail, mislead or waste.

    One pass over the rows, which stay on disk, and about 100 bytes of memory a row (350 where near-duplicates are
    looked for).

    Args:
        train: the training rows.
        test: rows that are held out: looked at as well, and for leakage.
        backends: where the rows are to be trained, as ``"name:model"`` or backend objects: adds the hosts' limits, and
            for ``local:`` models the rules on tokens (which load the tokenizer, not the weights).
        recipe: what is to be trained: adds the rules on epochs.
        select: codes, beginnings of codes (``"U"``) or names of rules; all when empty.
        ignore: likewise, rules to leave out.
        ignore_rows: by row id, codes (or beginnings, or ``"ALL"``) that shall not be reported for that row.
        severity: the least severity to look for: ``"error"`` runs only the rules whose findings are errors.
        gradients: of how many rows the gradients are compared (rule G001), in the ``local:`` models of ``backends``.
            This loads the weights and takes a forward and a backward pass a row.
        keep: findings of each rule that the report holds; further ones are only counted.
        workers: processes; ``"auto"`` is one a core where there are rows enough.

    Raises:
        ConfigError: a code that fits no rule, a backend that is no ``"name:model"``, or a plug-in that cannot be
            loaded.
        DataError: a file has changed since it was loaded.
    """
    check_dataset(train, "train")
    if test is not None:
        check_dataset(test, "test")
    data = [("train", train)] + ([("test", test)] if test is not None else [])
    places = [backends] if isinstance(backends, str) or not isinstance(backends, Iterable) else list(backends)
    for name in places:
        if isinstance(name, str) and not all(name.partition(":")):
            raise ConfigError(f'backend {name!r}: write it as "name:model", e.g. "local:smollm2-135m"')
    named = {one if isinstance(one, str) else f"{one.name}:{one.model}": one for one in places}
    setting = Setting(
        task=train.task,
        kind=train.kind,
        format=train.format,
        options=train.options,
        rows={name: len(rows) for name, rows in data},
        backends=tuple(named),
        listed={name: _listed(where) for name, where in named.items()},
        recipe=recipe,
        gradients=gradients,
    )
    rules, skipped = _able(chosen_rules(_codes(select), _codes(ignore)), setting, severity)
    if test is not None and any(rule.code == "U007" for rule in rules):
        setting = replace(setting, eval_texts=_eval_texts(test, len(train)))
    sketches = any(isinstance(rule, WholeRule) and rule.needs_sketches for rule in rules)
    firsts = [0, len(train)]
    stretches = [Stretch(rows, name, 0, len(rows), first) for (name, rows), first in zip(data, firsts, strict=False)]
    swept = sweep_all(stretches, rules, setting, keep=keep, sketches=sketches, workers=workers)
    facts = Facts.joined([part.facts for part in swept])
    whole = Whole(data, facts, setting)
    ignored = _ignored(facts, ignore_rows or {}, {row: codes for part in swept for row, codes in part.ignores.items()})

    collected = _Collected(whole, rules, keep, ignored)
    for rule in rules:
        code = rule.code
        if isinstance(rule, TallyRule):
            tally = Tally()
            for part in swept:
                if code in part.tallies:
                    tally.merge(part.tallies.pop(code))
            collected.add(rule, rule.judge(tally, whole))
        if isinstance(rule, WholeRule):
            collected.add(rule, rule.check(whole))
        # Of row rules the sweep has kept some findings, and the numbers of all rows.
        collected.add(rule, chain.from_iterable(part.found.get(code, ()) for part in swept))
        collected.also(rule, chain.from_iterable(part.flagged.get(code, ()) for part in swept))
    return collected.report([_NO_ANSWERS, *skipped] if setting.kind == "prompts" else skipped)


def _listed(where: str | Backend) -> tuple[str, str]:
    """Under which provider and name the catalogue has it: a hosted backend goes by the address that it asks."""
    try:
        found = backend_of(where)
    except FtkitError:  # no such backend; nothing is known of it then
        provider, _, model = str(where).partition(":")
        return provider, model
    ask = getattr(found, "listed", None)
    return (found.name, found.model) if ask is None else ask()


def _codes(given: str | Sequence[str]) -> list[str]:
    return [code.strip() for code in given.split(",")] if isinstance(given, str) else list(given)


def _able(rules: Sequence[Rule], setting: Setting, severity: str) -> tuple[list[Rule], list[str]]:
    """The rules that can look, and those that cannot, with why."""
    able: list[Rule] = []
    skipped: dict[str, list[str]] = {}
    allowed = SEVERITIES[: SEVERITIES.index(severity) + 1]
    for rule in rules:
        if rule.severity not in allowed:
            continue
        why = rule.wants(setting)
        if why is None:
            able.append(rule)
        elif why:
            skipped.setdefault(why, []).append(f"{rule.code} {rule.name}")
    return able, [f"{', '.join(names)}: {why}" for why, names in skipped.items()]


def _eval_texts(test: Dataset, first: int) -> dict[str, list[tuple[int, str]]]:
    """By their first words, the test rows' inputs."""
    found: dict[str, list[tuple[int, str]]] = {}
    for seen in rows_of(Stretch(test, "test", 0, len(test), first)):
        words = seen.input_words
        if len(words) >= EVAL_WORDS:
            found.setdefault(" ".join(words[:EVAL_WORDS]), []).append((seen.number, " ".join(words)))
    return found


def _ignored(
    facts: Facts, by_id: Mapping[str, Sequence[str]], inline: Mapping[int, Sequence[str]]
) -> list[tuple[str, frozenset[int]]]:
    """Beginnings of codes, each with the rows for which it is not reported."""
    rows: dict[str, set[int]] = {}
    for row_id, codes in by_id.items():
        numbers = np.flatnonzero(facts.id == np.uint64(key(row_id))).tolist()
        for code in codes:
            rows.setdefault(code.upper(), set()).update(numbers)
    for number, codes in inline.items():
        for code in codes:
            rows.setdefault(code, set()).add(number)
    return [("" if code == "ALL" else code, frozenset(numbers)) for code, numbers in rows.items()]


class _Collected:
    """Findings as they come, with the ignored ones left out."""

    def __init__(
        self, whole: Whole, rules: Sequence[Rule], keep: int, ignored: list[tuple[str, frozenset[int]]]
    ) -> None:
        self._whole = whole
        self._rules = {rule.code: rule for rule in rules}
        self._keep = keep
        self._ignored = ignored
        self._found: dict[str, list[Found]] = {}
        self._rows: dict[str, set[int]] = {}
        self._counts: dict[str, int] = {}
        self._error_rows: set[int] = set()

    def add(self, rule: Rule, found: Iterable[Found]) -> None:
        kept = self._found.setdefault(rule.code, [])
        rows = self._rows.setdefault(rule.code, set())
        for one in found:
            if one.row is not None and self._is_ignored(rule.code, one.row):
                continue
            self._counts[rule.code] = self._counts.get(rule.code, 0) + 1
            if one.row is not None:
                rows.add(one.row)
                if (one.severity or rule.severity) == "error":
                    self._error_rows.add(one.row)
            if len(kept) < self._keep:
                kept.append(one)

    def also(self, rule: Rule, rows: Iterable[int]) -> None:
        """Rows that the rule found something in, of which some may be added already."""
        known = self._rows[rule.code]
        new = {row for row in rows if row not in known and not self._is_ignored(rule.code, row)}
        known |= new
        self._counts[rule.code] = self._counts.get(rule.code, 0) + len(new)
        if rule.severity == "error":
            self._error_rows |= new

    def _is_ignored(self, code: str, row: int) -> bool:
        return any(row in rows and code.startswith(beginning) for beginning, rows in self._ignored)

    def report(self, skipped: Sequence[str]) -> LintReport:
        whole = self._whole
        order = list(self._rules)
        numbered = [
            (one.row if one.row is not None else -1, order.index(code), self._finding(self._rules[code], one))
            for code, found in self._found.items()
            for one in found
        ]
        numbered.sort(key=lambda item: item[:2])
        flagged = {code: _numbers(rows) for code, rows in self._rows.items()}
        hurts = {code: rule.hurts for code, rule in self._rules.items() if rule.hurts is not None}
        counts = [self._count(code) for code, count in self._counts.items() if count]
        graver = [self._rows[count.code] for count in counts if count.severity != "info"]
        training = next(iter(whole.setting.rows.values()))
        return LintReport(
            ftkit_version=_version(),
            created_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            sources=whole.sources,
            rows=dict(whole.setting.rows),
            findings=tuple(finding for _, _, finding in numbered),
            counts=tuple(sorted(counts, key=lambda count: (SEVERITIES.index(count.severity), order.index(count.code)))),
            flagged_rows=len(set().union(*graver)),
            skipped=tuple(skipped),
            density=density_of(whole.facts, flagged, hurts, _numbers(self._error_rows), training),
        )

    def _count(self, code: str) -> RuleCount:
        rule = self._rules[code]
        severities = {one.severity or rule.severity for one in self._found[code]} or {rule.severity}
        return RuleCount(
            code=code,
            name=rule.name,
            summary=rule.summary,
            severity=min(severities, key=SEVERITIES.index),
            count=self._counts[code],
            rows=len(self._rows[code]),
            fixable=rule.fixable and any(one.fixable for one in self._found[code]),
        )

    def _finding(self, rule: Rule, found: Found) -> Finding:
        whole = self._whole
        about: dict[str, object] = {}
        shown = found.excerpt
        if found.row is not None:
            seen = whole.seen(found.row)
            about = {"split": seen.split, "file": seen.place.source, "line": seen.place.line}
            if seen.row is not None:
                about["row"] = seen.row.id
                if shown is None:
                    shown = excerpt(f"{seen.input} → {seen.answer}" if len(seen.input) < 60 else seen.input, width=100)
            if shown is not None and found.row in self._rows.get("S001", ()):
                shown = hidden(shown)
        return Finding.model_validate(
            {
                "code": rule.code,
                "name": rule.name,
                "severity": found.severity or rule.severity,
                "message": found.message,
                "path": found.path,
                "excerpt": shown,
                "related": tuple(str(whole.place(number)) for number in found.others),
                "fixable": rule.fixable and found.fixable,
                **about,
            }
        )


def _version() -> str:
    try:
        return importlib.metadata.version("ftkit")
    except importlib.metadata.PackageNotFoundError:  # a checkout that is not installed
        return "unknown"


def _numbers(rows: set[int]) -> NDArray[np.int64]:
    return np.array(sorted(rows), dtype=np.int64)
