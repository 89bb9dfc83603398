"""The same row in two reports; and refusing reports that do not hold the same rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from ftkit.errors import ReportError
from ftkit.results.json_values import canonical
from ftkit.results.number_format import file_text
from ftkit.results.report_row import RowResult

__all__ = ["Pair", "paired_rows"]

Pair = tuple[RowResult, RowResult]
"""A row before and after."""


class ScoredRows(Protocol):
    """The part of a report that pairing needs."""

    @property
    def label(self) -> str: ...
    @property
    def task(self) -> dict[str, Any]: ...
    @property
    def comparators(self) -> Mapping[str, Any]: ...
    @property
    def rows(self) -> tuple[RowResult, ...]: ...


_NAMED = 3  # rows named in an error


def paired_rows(before: ScoredRows, after: ScoredRows) -> tuple[Pair, ...]:
    """The rows of both reports, matched by id (and by occurrence, where an id repeats), in the order of ``before``.

    Raises:
        ReportError: outputs, comparators, rows, prompts or wanted answers differ; names the first few.
    """
    _same_output(before, after)
    _same_comparators(before, after)
    first, second = _by_key(before.rows), _by_key(after.rows)
    reasons = []
    labels = (before.label, after.label) if before.label != after.label else ("before", "after")
    for own, other, label in ((first, second, labels[0]), (second, first, labels[1])):
        only = [row for key, row in own.items() if key not in other]
        if only:
            reasons.append(f'{_named(only, len(own))} only in "{label}"')
    pairs = tuple((row, second[key]) for key, row in first.items() if key in second)
    for what, content in _CONTENTS.items():
        differ = [one for one, two in pairs if content(one) != content(two)]
        if differ:
            reasons.append(f"the {what} differs in {_named(differ, len(pairs))}")
    if reasons:
        raise ReportError(
            f"the reports do not hold the same rows: {'; '.join(reasons)}. "
            "Evaluate both models on the same data with the same task."
        )
    return pairs


def _wanted(row: RowResult) -> str:
    return canonical([row.has_target, row.target, row.target_tool_calls])


_CONTENTS: dict[str, Callable[[RowResult], str]] = {"prompt": lambda row: row.prompt_hash, "wanted answer": _wanted}


def _same_output(before: ScoredRows, after: ScoredRows) -> None:
    first, second = before.task.get("output"), after.task.get("output")
    if canonical(first) == canonical(second):
        return
    kinds = tuple(output.get("kind") if isinstance(output, dict) else None for output in (first, second))
    how = f"{kinds[0]} and {kinds[1]}" if kinds[0] != kinds[1] else f"both {kinds[0]}, but not the same"
    raise ReportError(
        f"the tasks' outputs differ ({how}), so the numbers do not mean the same. Evaluate both models with one task."
    )


def _same_comparators(before: ScoredRows, after: ScoredRows) -> None:
    one, two = before.comparators, after.comparators
    differ = [name for name in {**one, **two} if one.get(name) != two.get(name)]
    if differ:
        raise ReportError(
            f"the fields {', '.join(differ)} were compared in different ways, so right does not mean the same. "
            "Score one report again: before.rescore(comparators=after.comparators)."
        )


def _by_key(rows: Sequence[RowResult]) -> dict[tuple[str, int], RowResult]:
    seen: Counter[str] = Counter()
    keyed = {}
    for row in rows:
        keyed[row.id, seen[row.id]] = row
        seen[row.id] += 1
    return keyed


def _named(rows: Sequence[RowResult], among: int) -> str:
    shown = ", ".join(f"{row.id} ({file_text(row.place)})" for row in rows[:_NAMED])
    more = f" and {len(rows) - _NAMED} more" if len(rows) > _NAMED else ""
    return f"{len(rows)} of {among} rows ({shown}{more})"
