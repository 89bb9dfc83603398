"""One pass over a stretch of rows: every rule on each row, and what is kept of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ftkit.data import Dataset
from ftkit.errors import DataError
from ftkit.linting.context import Setting
from ftkit.linting.counter import Tally
from ftkit.linting.finding import Found
from ftkit.linting.row_features import Facts, FactsBuilder
from ftkit.linting.row_view import Seen
from ftkit.linting.rule import RowRule, Rule, TallyRule

__all__ = ["Stretch", "Swept", "ignored_codes", "rows_of", "see", "sweep"]

IGNORE = "ftkit_ignore"
"""Column of a row that holds codes (a list, or a text with commas) of rules that shall not look at it."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Rows to sweep: ``start`` to ``stop`` of a dataset, numbered from ``first`` in the whole."""

    data: Dataset
    split: str
    start: int
    stop: int
    first: int


@dataclass(slots=True)
class Swept:
    """What a sweep gives.

    Attributes:
        found: of each rule, what it found; at most ``keep`` of it.
        flagged: of each rule, the numbers of all rows that it found something in.
        tallies: counts of the tally rules.
        facts: of every row.
        ignores: codes that rows say are not for them.
    """

    found: dict[str, list[Found]]
    flagged: dict[str, list[int]]
    tallies: dict[str, Tally]
    facts: Facts = field(init=False)
    ignores: dict[int, tuple[str, ...]] = field(default_factory=dict)


def sweep(stretch: Stretch, rules: Sequence[Rule], setting: Setting, *, keep: int, sketches: bool) -> Swept:
    """Look at every row of a stretch.

    Args:
        stretch: the rows.
        rules: those that look at single rows, and those that count.
        setting: what they are linted for.
        keep: how many findings of each rule are kept whole; of further ones only the row's number is.
        sketches: whether facts hold sketches.
    """
    builder = FactsBuilder(sketches=sketches)
    row_rules = [rule for rule in rules if isinstance(rule, RowRule)]
    tally_rules = [rule for rule in rules if isinstance(rule, TallyRule)]
    swept = Swept(
        found={rule.code: [] for rule in row_rules},
        flagged={rule.code: [] for rule in row_rules},
        tallies={rule.code: Tally() for rule in tally_rules},
    )
    for seen in rows_of(stretch):
        ignored = ignored_codes(seen.columns)
        if ignored:
            swept.ignores[seen.number] = ignored
        for rule in row_rules:
            found = swept.found[rule.code]
            some = False
            for one in rule.check(seen, setting):
                some = True
                if len(found) < keep:
                    found.append(replace(one, row=seen.number))
            if some:
                swept.flagged[rule.code].append(seen.number)
        if seen.row is not None:
            for counting in tally_rules:
                tally = swept.tallies[counting.code]
                for subject, way in counting.observe(seen, setting):
                    tally.add(subject, way, seen.number)
        builder.add(seen)
    swept.facts = builder.done()
    return swept


def see(data: Dataset, at: int, number: int, split: str) -> Seen:
    """Row ``at`` of ``data`` by itself."""
    return next(rows_of(Stretch(data, split, at, at + 1, number)))


def rows_of(stretch: Stretch) -> Iterator[Seen]:
    """Every row of a stretch, in the files' order."""
    data = stretch.data
    numbered = enumerate(data[stretch.start : stretch.stop].attempts(), start=stretch.first)
    for number, (place, columns, outcome) in numbered:
        row, error = (None, outcome) if isinstance(outcome, DataError) else (outcome, None)
        yield Seen(number, stretch.split, place, columns, row, error, data.task, data.options)


def ignored_codes(columns: Mapping[str, Any]) -> tuple[str, ...]:
    """Codes that the row itself says are not for it, in its column :data:`IGNORE`."""
    given = columns.get(IGNORE)
    if not given:
        return ()
    codes = given.split(",") if isinstance(given, str) else given if isinstance(given, list) else []
    return tuple(code.strip().upper() for code in codes if isinstance(code, str) and code.strip())
