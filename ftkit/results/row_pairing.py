"""Pairs of the same row in two reports, and how a row changed between them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict

from ftkit.counts import counted
from ftkit.errors import ReportError
from ftkit.results.json_values import canonical
from ftkit.results.metric_result import MetricChange
from ftkit.results.number_format import file_text
from ftkit.results.report_row import RowResult
from ftkit.schema.equality import without_outer_space

__all__ = ["KIND_WORDS", "RIGHT", "Counts", "Kind", "Pair", "kind_of", "paired_rows"]

RIGHT = 1 - 1e-9
"""An answer is right if its score is at least this."""

Kind = Literal["fixed", "regressed", "both_right", "both_wrong", "better", "worse", "unchanged", "uncounted"]
"""How a row changed, by the headline metric: one of the first four for rates, one of the next three for other scores,
``uncounted`` if the metric does not count the row."""

KIND_WORDS: dict[str, str] = {
    "fixed": "fixed",
    "regressed": "regressed",
    "both_right": "right in both",
    "both_wrong": "wrong in both",
    "better": "better",
    "worse": "worse",
    "unchanged": "unchanged",
    "uncounted": "not counted",
}
"""The kinds in words."""

Pair = tuple[RowResult, RowResult]
"""A row before and after."""


class Counts(BaseModel):
    """Number of rows by how they changed."""

    model_config = ConfigDict(frozen=True)

    fixed: int = 0
    regressed: int = 0
    both_right: int = 0
    both_wrong: int = 0
    better: int = 0
    worse: int = 0
    unchanged: int = 0
    uncounted: int = 0


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


def paired_rows(before: ScoredRows, after: ScoredRows, *, other_prompts: bool = False) -> tuple[Pair, ...]:
    """Pair the rows of two reports by id; rows that share an id are paired in their order.

    Args:
        before: The first report.
        after: The second report.
        other_prompts: Whether the tasks' instructions and examples may differ, so that only the questions must be the
            same: what an input template writes, or the one user message of each conversation.

    Returns:
        The pairs, in the order of ``before``.

    Raises:
        ReportError: Outputs, comparators, rows, prompts or wanted answers differ. The message names the first few.
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
    asked = _question if other_prompts and _one_question(before) and _one_question(after) else _prompt
    for what, content in (("prompt", asked), ("wanted answer", _wanted)):
        differ = [one for one, two in pairs if content(one) != content(two)]
        if differ:
            reasons.append(f"the {what} differs in {_named(differ, len(pairs))}")
    if reasons:
        raise ReportError(
            f"the reports do not hold the same rows: {'; '.join(reasons)}. "
            "Evaluate both models on the same data with the same task."
            + (_OTHER_PROMPTS if not other_prompts and _ask_the_same(before, after, pairs) else "")
        )
    return pairs


def kind_of(pair: Pair, metric: MetricChange) -> Kind:
    """Say how a row changed.

    Args:
        pair: The row before and after.
        metric: The metric to decide by.

    Returns:
        The kind of change.
    """
    before, after = (row.scores.get(metric.name) for row in pair)
    if before is None or after is None:
        return "uncounted"
    if not metric.higher_is_better:
        before, after = (1 - before, 1 - after) if metric.unit == "rate" else (-before, -after)
    if metric.unit != "rate":
        return "better" if after > before else "worse" if after < before else "unchanged"
    if after >= RIGHT:
        return "both_right" if before >= RIGHT else "fixed"
    return "regressed" if before >= RIGHT else "both_wrong"


def _wanted(row: RowResult) -> str:
    return canonical([row.has_target, _as_compared(without_outer_space(row.target)), row.target_tool_calls])


def _as_compared(value: Any) -> Any:
    """A value in which equal numbers are written the same: earlier reports have ``3`` for the ``3.0`` of a class."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_as_compared(item) for item in value]
    return {key: _as_compared(item) for key, item in value.items()} if isinstance(value, dict) else value


def _prompt(row: RowResult) -> str:
    return row.prompt_hash


def _one_question(report: ScoredRows) -> bool:
    """Whether the last message of every row is all that is asked: no other turn but the system's comes before it."""
    return bool(report.task.get("input")) or all(
        [turn["role"] for turn in row.prompt] in (["user"], ["system", "user"], ["developer", "user"])
        for row in report.rows
    )


def _question(row: RowResult) -> str:
    """The user's message, which a task with an input template writes after its instructions and examples."""
    return canonical(row.prompt[-1:])


_OTHER_PROMPTS = (
    " The questions are the same, and only instructions or examples differ: to compare one prompt with another, pass "
    "other_prompts=True (--other-prompts)"
)


def _ask_the_same(before: ScoredRows, after: ScoredRows, pairs: Sequence[Pair]) -> bool:
    """Whether the tasks differ, and all that differs in the rows are the tasks' own words."""
    if not (_one_question(before) and _one_question(after)) or len(pairs) != max(len(before.rows), len(after.rows)):
        return False
    return canonical(before.task) != canonical(after.task) and all(
        _question(one) == _question(two) and _wanted(one) == _wanted(two) for one, two in pairs
    )


def _same_output(before: ScoredRows, after: ScoredRows) -> None:
    first, second = before.task.get("output"), after.task.get("output")
    if canonical(first) == canonical(second):
        return
    kinds = tuple(output.get("kind") if isinstance(output, dict) else None for output in (first, second))
    how = f"{kinds[0]} and {kinds[1]}" if kinds[0] != kinds[1] else f"both {kinds[0]}, but not the same"
    raise ReportError(
        f"the tasks' outputs differ ({how}), so the numbers cannot be compared. Evaluate both models with one task."
    )


def _same_comparators(before: ScoredRows, after: ScoredRows) -> None:
    one, two = before.comparators, after.comparators
    differ = [name for name in {**one, **two} if one.get(name) != two.get(name)]
    if differ:
        raise ReportError(
            f"the fields {', '.join(differ)} had different comparators, so the numbers cannot be compared. "
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
    return f"{len(rows)} of {counted(among, 'row')} ({shown}{more})"
