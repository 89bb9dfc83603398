"""The rows of a page: one card each, with the wanted answer and every model's answer."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ftkit.counts import counted
from ftkit.evaluation.metrics import field_agreements
from ftkit.render.row_facets import Facet, RowFacets
from ftkit.render.table import Cell, Table
from ftkit.results.number_format import file_text
from ftkit.results.overview import Overview
from ftkit.results.report import Comparison, Report
from ftkit.results.report_row import RowResult
from ftkit.results.row_pairing import KIND_WORDS, RIGHT, paired_rows
from ftkit.results.tool_call import calls_text
from ftkit.schema.comparators import Comparator
from ftkit.schema.equality import same_answer

__all__ = [
    "FILTERED_KINDS",
    "MAX_CARDS",
    "Answer",
    "Card",
    "Cards",
    "comparison_cards",
    "overview_cards",
    "report_cards",
]

_OTHER_JSON = re.compile(r"\s*|true|false|null|-?\d[\d.eE+-]*")
_EXCERPT_CHARACTERS = 160

_MAX_SAMPLES = 8
"""Different answers of one model to one row that a page shows."""

MAX_CARDS = 1_000
"""Largest number of rows in a page, which a browser still shows at once."""

_DULL = {"right": 2, "both_right": 2, "all_right": 2, "unchanged": 2, "uncounted": 1}
"""Kinds of rows that are left out first."""

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
    "both_right": "both right",
    "worse": "worse",
    "better": "better",
}
FILTERED_KINDS = frozenset(_COMPARISON_FILTERS)
"""Kinds of change that a page can show by themselves."""


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
        facets: Numbers of the row's values, by facet.
        order: Keys to sort by: position, score, change of the score, seconds, tokens.
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
    facets: dict[str, str]
    order: dict[str, float]


@dataclass(frozen=True, slots=True)
class Cards:
    """All cards of a page.

    Attributes:
        cards: The cards, in the order of the rows.
        filters: Tag, words and number of cards of each filter.
        facets: Lists to choose from.
        total: Number of rows, of which a page shows at most :data:`MAX_CARDS`.
        shared: Role and text of the messages with which every prompt begins.
    """

    cards: list[Card]
    filters: list[tuple[str, str, int]]
    facets: list[Facet]
    total: int
    shared: list[tuple[str, str]]


def report_cards(report: Report) -> Cards:
    """Make the cards of one report.

    Args:
        report: The report.

    Returns:
        The cards and filters.
    """
    rows = []
    for row in report.rows:
        score = row.scores.get(report.primary)
        kind = "uncounted" if score is None else "right" if score >= RIGHT else "wrong"
        rows.append(_Entry([(report.label, row)], kind, kind if row.answered else f"{kind} unreadable"))
    return _cards(rows, report, {"wrong": "wrong", "right": "right", "unreadable": "unreadable"})


def comparison_cards(comparison: Comparison) -> Cards:
    """Make the cards of a comparison, with both answers.

    Args:
        comparison: The comparison.

    Returns:
        The cards and filters.
    """
    rows = []
    for pair in comparison.pairs():
        kind = comparison.kind_of(pair)
        tags = f"{kind} changed" if _changed(*pair) else kind
        rows.append(_Entry(list(zip(comparison.labels, pair, strict=True)), kind, tags))
    used = {kind for kind, _ in comparison.tally}
    filters: dict[str, str] = {kind: words for kind, words in _COMPARISON_FILTERS.items() if kind in used}
    wrong = {"wrong": f"wrong in {comparison.labels[1]}"}
    return _cards(rows, comparison.before, {"changed": "changed", **filters, **wrong}, comparison.primary)


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
    entries = []
    for rows in zip(*columns, strict=True):
        scores = [row.scores.get(overview.primary) for row in rows]
        right = [score is not None and score >= RIGHT for score in scores]
        kind = "uncounted" if None in scores else "all_right" if all(right) else "split" if any(right) else "none_right"
        entries.append(_Entry(list(zip(labels, rows, strict=True)), kind, kind))
    filters = {"split": "different", "none_right": "wrong in all", "all_right": "right in all"}
    return _cards(entries, first, filters, overview.primary)


@dataclass(frozen=True, slots=True)
class _Entry:
    """A row before it becomes a card: its answers by label, and what it is filtered by."""

    answers: list[tuple[str, RowResult]]
    kind: str
    tags: str


def _cards(entries: list[_Entry], report: Report, filters: Mapping[str, str], primary: str | None = None) -> Cards:
    primary = primary or report.primary
    fields, choices = report.output.fields(), getattr(report.output, "choices", ())
    facets = RowFacets(primary, report[primary].higher_is_better, fields, report.comparators, choices)
    shown = entries
    if len(entries) > MAX_CARDS:  # those that show something first
        shown = sorted(entries, key=lambda entry: _DULL.get(entry.kind, 0))[:MAX_CARDS]
    shared = _shared_messages(shown)
    cards = []
    for at, entry in enumerate(shown):
        rows = [row for _, row in entry.answers]
        order = {"position": float(at), **_order(rows, primary)}
        cards.append(_card(entry, fields, report.comparators, facets.of(rows), order, len(shared)))
    counts = Counter(tag for card in cards for tag in card.tags.split())
    counts["wrong"] = sum("failure" in card.facets for card in cards)
    every = [("all", "all", len(cards)), *((tag, words, counts[tag]) for tag, words in filters.items())]
    return Cards(cards, every, facets.facets(), len(entries), shared)


def _shared_messages(entries: Sequence[_Entry]) -> list[tuple[str, str]]:
    """The messages with which every prompt begins, such as a long system message, which a page shows once."""
    prompts = [_messages(entry.answers[0][1]) for entry in entries]
    if len(prompts) < 2:
        return []
    shared = []
    for messages in zip(*(prompt[:-1] for prompt in prompts), strict=False):
        if len(set(messages)) > 1:
            break
        shared.append(messages[0])
    return shared


def _messages(row: RowResult) -> list[tuple[str, str]]:
    return [(str(message.get("role", "")), _message_text(message)) for message in row.prompt]


def _message_text(message: Mapping[str, Any]) -> str:
    """A turn's text, with its calls of tools."""
    calls = calls_text(message.get("tool_calls"))
    content = message.get("content")
    return "\n".join(part for part in ("" if calls and not content else _text(content), calls) if part)


def _order(rows: Sequence[RowResult], primary: str) -> dict[str, float]:
    """What a row is sorted by."""
    first, last = rows[0].scores.get(primary), rows[-1].scores.get(primary)
    order = {"seconds": rows[-1].latency_s, "tokens": float(rows[-1].output_tokens)}
    if last is not None:
        order["score"] = last
    if len(rows) > 1 and first is not None and last is not None:
        order["change"] = last - first
    return {name: round(value, 4) for name, value in order.items()}


def _card(
    entry: _Entry,
    fields: Mapping[str, Any],
    comparators: Mapping[str, Comparator],
    facets: dict[str, str],
    order: dict[str, float],
    skipped: int,
) -> Card:
    answers, kind, tags = entry.answers, entry.kind, entry.tags
    row = answers[0][1]
    if fields and any(isinstance(item.value, dict) for _, item in answers):
        table = _field_table(answers, fields, comparators)
    else:
        lines: list[list[str | Cell]] = [["wanted", row.wanted if row.has_target else "–"]]
        lines += [[label, _whole_answer(item)] for label, item in answers]
        table = Table(["", "answer"], lines)
    question = next((str(m.get("content") or "") for m in reversed(row.prompt) if m.get("role") == "user"), "")
    excerpt = " ".join(question.split())
    return Card(
        kind=kind,
        word=_partly_right(answers[0][1], order) if kind == "wrong" and len(answers) == 1 else _WORDS[kind],
        tags=tags,
        id=row.id,
        place=file_text(row.place) + (f" · group {row.group}" if row.group else ""),
        excerpt=excerpt if len(excerpt) <= _EXCERPT_CHARACTERS else excerpt[:_EXCERPT_CHARACTERS] + "…",
        messages=_messages(row)[skipped:],
        table=table,
        answers=[answer for label, item in answers for answer in _raw_answers(label, item)],
        facets=facets,
        order=order,
    )


def _field_table(
    answers: Sequence[tuple[str, RowResult]], fields: Mapping[str, Any], comparators: Mapping[str, Comparator]
) -> Table:
    wanted = answers[0][1]
    target = wanted.target if isinstance(wanted.target, dict) else {}
    extra = [key for _, row in answers if isinstance(row.value, dict) for key in row.value if key not in fields]
    marks = [
        [field_agreements(each, fields, comparators) for each in row.answers] if row.has_target else []
        for _, row in answers
    ]
    rows: list[list[str | Cell]] = []
    for name in [*fields, *dict.fromkeys(extra)]:
        cells = [
            _field_cell(row, name, [share[name] >= 1 for share in shares if name in share])
            for (_, row), shares in zip(answers, marks, strict=True)
        ]
        rows.append([name, _value_text(target[name]) if name in target else "–", *cells])
    return Table(["field", "wanted", *(label for label, _ in answers)], rows)


def _field_cell(row: RowResult, name: str, right_answers: Sequence[bool]) -> Cell:
    """The first answer's value for a field, and which answers are right; none for fields that the schema lacks."""
    right = all(right_answers) if right_answers else None
    if row.finish_reason == "error":
        text = "not asked"
    elif not row.readable:
        text = "a call of tools" if row.tool_calls else "not JSON"
    elif not isinstance(row.value, dict):
        text = "not an object"
    elif name in row.value:
        text, right = _value_text(row.value[name]), right or False if row.has_target else None
    else:
        text = "–" if right is None else "(missing)"
    css = "answer" if right is None else "answer right" if right else "answer wrong"
    return Cell(text + _how_many(right_answers), css=css)


def _how_many(right: Sequence[bool]) -> str:
    """Which of several answers to a row are right, where they differ."""
    return f" (right in {sum(right)} of {len(right)})" if len(set(right)) > 1 else ""


def _partly_right(row: RowResult, order: Mapping[str, float]) -> str:
    """The word of a row some of whose answers are right."""
    right = order.get("score", 0.0) * len(row.answers)
    whole = abs(right - round(right)) < 0.01
    return (
        f"right in {round(right)} of {len(row.answers)}" if row.others and whole and round(right) else _WORDS["wrong"]
    )


def _whole_answer(row: RowResult) -> Cell:
    if row.finish_reason == "error":
        return Cell(f"not asked: {row.error}", css="answer wrong")
    right = [
        each.calls_right if each.wants_calls else each.readable and same_answer(each.value, each.target)
        for each in row.answers
    ]
    css = "answer" if not row.has_target else "answer right" if all(right) else "answer wrong"
    return Cell((row.said or "(empty)") + (_how_many(right) if row.has_target else ""), css=css)


def _raw_answers(label: str, row: RowResult) -> list[Answer]:
    """The answers to a row, equal ones once."""
    every = row.answers
    same: dict[str, list[RowResult]] = {}
    for each in every:
        same.setdefault(each.said or each.error or "", []).append(each)
    found = []
    for number, alike in enumerate(same.values()):
        if number == _MAX_SAMPLES:
            rest = sum(map(len, same.values())) - sum(map(len, list(same.values())[:number]))
            found.append(Answer(f"{counted(rest, 'further answer')} of {label}", "(only in the .json)", [], ""))
            break
        which = f", {len(alike)} of {len(every)} samples" if len(every) > 1 else ""
        found.append(_answer(f"{label}{which}", alike[0]))
    return found


def _answer(label: str, row: RowResult) -> Answer:
    problems = [f"{item.problem} {item.path}: {item.message}" for item in row.problems]
    count = f", {counted(len(problems), 'problem')}" if problems else ""
    facts = f"{counted(row.output_tokens, 'token')}, {row.latency_s:.2f} s, ended by {row.finish_reason}"
    return Answer(f"raw answer of {label}{count}", row.said or row.error or "(empty)", problems, facts)


def _changed(before: RowResult, after: RowResult) -> bool:
    if before.readable and after.readable:
        return not same_answer(before.value, after.value)
    return before.said != after.said


def _value_text(value: Any) -> str:
    """Text as it is, other values as JSON; text that reads like another value (``"20"``) keeps its quotes."""
    if isinstance(value, str) and not _OTHER_JSON.fullmatch(value):
        return value
    return json.dumps(value, ensure_ascii=False)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
