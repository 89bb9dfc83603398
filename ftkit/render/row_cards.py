"""The rows of a page: one card each, with the wanted answer and every model's answer."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ftkit.evaluation.metrics import field_agreements
from ftkit.render.table import Cell, Table
from ftkit.results.number_format import counted, file_text
from ftkit.results.overview import Overview
from ftkit.results.report import Comparison, Report
from ftkit.results.report_row import RowResult
from ftkit.results.row_pairing import KIND_WORDS, RIGHT, paired_rows
from ftkit.schema.comparators import Comparator
from ftkit.schema.equality import same_answer

__all__ = ["Answer", "Card", "Cards", "comparison_cards", "overview_cards", "report_cards"]

_OTHER_JSON = re.compile(r"\s*|true|false|null|-?\d[\d.eE+-]*")
_EXCERPT_CHARACTERS = 160

_WORDS: dict[str, str] = {
    **KIND_WORDS,
    "right": "right",
    "wrong": "wrong",
    "all_right": "right in all",
    "none_right": "wrong in all",
    "split": "different",
}
_COMPARISON_FILTERS = {
    "regressed": "regressions",
    "fixed": "fixed",
    "both_wrong": "both wrong",
    "worse": "worse",
    "better": "better",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """One model's raw answer.

    Attributes:
        label: Label of the report.
        text: The answer, or why there is none.
        problems: What the output's schema finds wrong.
        facts: Tokens, seconds and finish reason.
    """

    label: str
    text: str
    problems: list[str]
    facts: str


@dataclass(frozen=True, slots=True)
class Card:
    """One row.

    Attributes:
        kind: Whether the answers are right, as a CSS class.
        word: The same in words.
        tags: Filters that show the card.
        id: The row's id.
        place: File, line and group.
        excerpt: Beginning of the question.
        messages: Role and text of each message of the prompt.
        table: Wanted answer and given answers.
        answers: Raw answers.
    """

    kind: str
    word: str
    tags: str
    id: str
    place: str
    excerpt: str
    messages: list[tuple[str, str]]
    table: Table
    answers: list[Answer]


@dataclass(frozen=True, slots=True)
class Cards:
    """All cards of a page.

    Attributes:
        cards: The cards, in the order of the rows.
        filters: Tag, words and number of cards of each filter.
    """

    cards: list[Card]
    filters: list[tuple[str, str, int]]


def report_cards(report: Report) -> Cards:
    """Make the cards of one report.

    Args:
        report: The report.

    Returns:
        The cards and filters.
    """
    cards, fields = [], report.output.fields()
    for row in report.rows:
        score = row.scores.get(report.primary)
        kind = "uncounted" if score is None else "right" if score >= RIGHT else "wrong"
        tags = kind if row.readable else f"{kind} unreadable"
        cards.append(_card([(report.label, row)], kind, tags, fields, report.comparators))
    return _cards(cards, {"wrong": "wrong", "right": "right", "unreadable": "unreadable"})


def comparison_cards(comparison: Comparison) -> Cards:
    """Make the cards of a comparison, with both answers.

    Args:
        comparison: The comparison.

    Returns:
        The cards and filters.
    """
    cards, fields = [], comparison.before.output.fields()
    for pair in comparison.pairs():
        kind = comparison.kind_of(pair)
        tags = f"{kind} changed" if _changed(*pair) else kind
        answers = list(zip(comparison.labels, pair, strict=True))
        cards.append(_card(answers, kind, tags, fields, comparison.before.comparators))
    used = {kind for kind, _ in comparison.tally}
    filters: dict[str, str] = {kind: words for kind, words in _COMPARISON_FILTERS.items() if kind in used}
    return _cards(cards, {"changed": "changed", **filters})


def overview_cards(overview: Overview) -> Cards:
    """Make the cards of an overview, with the answers of all reports.

    Args:
        overview: The overview.

    Returns:
        The cards and filters.
    """
    first, *others = overview.reports
    columns = [
        [row for row, _ in paired_rows(first, first)],
        *([row for _, row in paired_rows(first, other)] for other in others),
    ]
    labels = [label for label, _ in overview.labelled]
    cards, fields = [], first.output.fields()
    for rows in zip(*columns, strict=True):
        scores = [row.scores.get(overview.primary) for row in rows]
        right = [score is not None and score >= RIGHT for score in scores]
        kind = "uncounted" if None in scores else "all_right" if all(right) else "split" if any(right) else "none_right"
        cards.append(_card(list(zip(labels, rows, strict=True)), kind, kind, fields, first.comparators))
    return _cards(cards, {"split": "different", "none_right": "wrong in all", "all_right": "right in all"})


def _cards(cards: list[Card], filters: Mapping[str, str]) -> Cards:
    counts = Counter(tag for card in cards for tag in card.tags.split())
    return Cards(cards, [("all", "all", len(cards)), *((tag, words, counts[tag]) for tag, words in filters.items())])


def _card(
    answers: Sequence[tuple[str, RowResult]],
    kind: str,
    tags: str,
    fields: Mapping[str, Any],
    comparators: Mapping[str, Comparator],
) -> Card:
    row = answers[0][1]
    if fields and any(isinstance(item.value, dict) for _, item in answers):
        table = _field_table(answers, fields, comparators)
    else:
        lines: list[list[str | Cell]] = [["wanted", _text(row.target) if row.has_target else "–"]]
        lines += [[label, _whole_answer(item)] for label, item in answers]
        table = Table(["", "answer"], lines)
    question = next((str(m.get("content") or "") for m in reversed(row.prompt) if m.get("role") == "user"), "")
    excerpt = " ".join(question.split())
    return Card(
        kind=kind,
        word=_WORDS[kind],
        tags=tags,
        id=row.id,
        place=file_text(row.place) + (f" · group {row.group}" if row.group else ""),
        excerpt=excerpt if len(excerpt) <= _EXCERPT_CHARACTERS else excerpt[:_EXCERPT_CHARACTERS] + "…",
        messages=[(str(message.get("role", "")), _text(message.get("content"))) for message in row.prompt],
        table=table,
        answers=[_answer(label, item) for label, item in answers],
    )


def _field_table(
    answers: Sequence[tuple[str, RowResult]], fields: Mapping[str, Any], comparators: Mapping[str, Comparator]
) -> Table:
    wanted = answers[0][1]
    target = wanted.target if isinstance(wanted.target, dict) else {}
    extra = [key for _, row in answers if isinstance(row.value, dict) for key in row.value if key not in fields]
    marks = [
        {name: share >= 1 for name, share in field_agreements(row, fields, comparators).items()}
        if row.has_target
        else {}
        for _, row in answers
    ]
    rows: list[list[str | Cell]] = []
    for name in [*fields, *dict.fromkeys(extra)]:
        cells = [_field_cell(row, name, right.get(name)) for (_, row), right in zip(answers, marks, strict=True)]
        rows.append([name, _value_text(target[name]) if name in target else "–", *cells])
    return Table(["field", "wanted", *(label for label, _ in answers)], rows)


def _field_cell(row: RowResult, name: str, right: bool | None) -> Cell:
    """The answer's value for a field; ``right`` is None for fields that the schema does not know."""
    if row.finish_reason == "error":
        text = "not asked"
    elif not row.readable:
        text = "not JSON"
    elif not isinstance(row.value, dict):
        text = "not an object"
    elif name in row.value:
        text, right = _value_text(row.value[name]), right or False if row.has_target else None
    else:
        text = "–" if right is None else "(missing)"
    return Cell(text, css="answer" if right is None else "answer right" if right else "answer wrong")


def _whole_answer(row: RowResult) -> Cell:
    if row.finish_reason == "error":
        return Cell(f"not asked: {row.error}", css="answer wrong")
    right = row.has_target and row.readable and same_answer(row.value, row.target)
    calls = f" {json.dumps(row.tool_calls, ensure_ascii=False)}" if row.tool_calls else ""
    css = "answer" if not row.has_target else "answer right" if right else "answer wrong"
    return Cell((row.text + calls) or "(empty)", css=css)


def _answer(label: str, row: RowResult) -> Answer:
    problems = [f"{item.problem} {item.path}: {item.message}" for item in row.problems]
    count = f", {counted(len(problems), 'problem')}" if problems else ""
    facts = f"{row.output_tokens} tokens, {row.latency_s:.2f} s, ended by {row.finish_reason}"
    return Answer(f"raw answer of {label}{count}", row.text or row.error or "(empty)", problems, facts)


def _changed(before: RowResult, after: RowResult) -> bool:
    if before.readable and after.readable:
        return not same_answer(before.value, after.value)
    return before.text != after.text


def _value_text(value: Any) -> str:
    """Text as it is, other values as JSON; text that reads like another value (``"20"``) keeps its quotes."""
    if isinstance(value, str) and not _OTHER_JSON.fullmatch(value):
        return value
    return json.dumps(value, ensure_ascii=False)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
