"""The rows of a page: each a card with the wanted answer and what the model or both models said."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ftkit.evaluation.metrics import field_agreements
from ftkit.render.markup import Markup, element, joined, table
from ftkit.results.number_format import file_text
from ftkit.results.overview import Overview
from ftkit.results.report import KIND_WORDS, RIGHT, Comparison, Kind, Report
from ftkit.results.report_row import RowResult
from ftkit.results.row_pairing import paired_rows
from ftkit.schema.comparators import Comparator
from ftkit.schema.equality import same_value

__all__ = ["comparison_rows", "overview_rows", "report_rows"]

_LIKE_A_VALUE = re.compile(r"\s*|true|false|null|-?\d[\d.eE+-]*")

EXCERPT = 160  # characters of the question shown when closed

_WORDS: dict[str, str] = {
    **KIND_WORDS,
    "right": "right",
    "wrong": "wrong",
    "all_right": "right in all",
    "none_right": "wrong in all",
    "split": "not alike",
}
_FILTERS: tuple[tuple[Kind, str], ...] = (
    ("regressed", "regressions"),
    ("fixed", "fixed"),
    ("both_wrong", "both wrong"),
    ("worse", "worse"),
    ("better", "better"),
)
"""Those kinds of a comparison's rows that one looks for, worst first."""


def report_rows(report: Report) -> Markup:
    """The rows of one report."""
    cards, kinds, fields = [], [], report.output.fields()
    for row in report.rows:
        score = row.scores.get(report.primary)
        kind = "uncounted" if score is None else "right" if score >= RIGHT else "wrong"
        found = kind if row.readable else f"{kind} unreadable"
        kinds.append(found)
        cards.append(_card([(report.label, row)], kind, found, fields, report.comparators))
    buttons = {"all": "all", "wrong": "wrong", "right": "right", "unreadable": "unreadable"}
    return _rows(cards, buttons, kinds)


def comparison_rows(comparison: Comparison) -> Markup:
    """The rows of both reports, pair by pair."""
    before, after = comparison.labels
    cards, kinds, fields = [], [], comparison.before.output.fields()
    for one, two in comparison.pairs():
        kind = comparison.kind_of((one, two))
        found = f"{kind} changed" if _changed(one, two) else kind
        kinds.append(found)
        cards.append(_card([(before, one), (after, two)], kind, found, fields, comparison.before.comparators))
    told = {kind for kind, _ in comparison.tally}
    buttons: dict[str, str] = {"all": "all", "changed": "changed"}
    buttons |= {kind: words for kind, words in _FILTERS if kind in told}
    return _rows(cards, buttons, kinds)


def overview_rows(overview: Overview) -> Markup:
    """The rows of all reports."""
    first, *others = overview.reports
    every = [
        [one for one, _ in paired_rows(first, first)],
        *([two for _, two in paired_rows(first, o)] for o in others),
    ]
    labels = [label for label, _ in overview.labelled]
    cards, kinds, fields = [], [], first.output.fields()
    for rows in zip(*every, strict=True):
        scores = [row.scores.get(overview.primary) for row in rows]
        right = [score is not None and score >= RIGHT for score in scores]
        kind = "uncounted" if None in scores else "all_right" if all(right) else "split" if any(right) else "none_right"
        kinds.append(kind)
        cards.append(_card(list(zip(labels, rows, strict=True)), kind, kind, fields, first.comparators))
    buttons = {"all": "all", "split": "not alike", "none_right": "wrong in all", "all_right": "right in all"}
    return _rows(cards, buttons, kinds)


def _rows(cards: Sequence[Markup], filters: dict[str, str], kinds: Sequence[str]) -> Markup:
    buttons = []
    for key, words in filters.items():
        count = len(kinds) if key == "all" else sum(key in kind.split() for kind in kinds)
        pressed = "true" if key == "all" else "false"
        buttons.append(
            element(
                "button", f"{words} ", element("b", str(count)), type="button", data_filter=key, aria_pressed=pressed
            )
        )
    search = Markup('<input type="search" id="search" placeholder="Search the rows" aria-label="Search the rows">')
    bar = element("div", *buttons, search, element("output", f"{len(cards)} rows", id="shown"), class_="filters")
    keys = joined(
        [element("kbd", "/"), " search, ", element("kbd", "j"), " ", element("kbd", "k"), " next and last row"]
    )
    bar = joined([bar, element("p", keys, class_="quiet keys")])
    return element("section", element("h2", "Rows"), bar, element("div", *cards, id="rows"), class_="panel")


def _card(
    answers: Sequence[tuple[str, RowResult]],
    kind: str,
    kinds: str,
    fields: dict[str, Any],
    comparators: Mapping[str, Comparator],
) -> Markup:
    row = answers[0][1]
    head = element(
        "header",
        element("span", _WORDS[kind], class_=f"badge {kind}"),
        element("b", row.id),
        element("span", file_text(row.place) + (f" · group {row.group}" if row.group else ""), class_="quiet"),
    )
    if fields and any(isinstance(item.value, dict) for _, item in answers):
        body = _field_table(answers, fields, comparators)
    else:
        lines = [["wanted", _text(row.target) if row.has_target else "–"]]
        lines += [[label, _whole(item)] for label, item in answers]
        body = element("div", table(["", "answer"], lines, "answers"))
    raw = [_raw(label, item) for label, item in answers]
    return element("article", head, _question(row), body, *raw, class_="row", data_kind=kinds, tabindex="-1")


def _field_table(
    answers: Sequence[tuple[str, RowResult]], fields: dict[str, Any], comparators: Mapping[str, Comparator]
) -> Markup:
    wanted = answers[0][1]
    target = wanted.target if isinstance(wanted.target, dict) else {}
    extra = [key for _, row in answers if isinstance(row.value, dict) for key in row.value if key not in fields]
    marks = [
        {name: share >= 1 for name, share in field_agreements(row, fields, comparators).items()}
        if row.has_target
        else {}
        for _, row in answers
    ]
    lines: list[list[str | Markup]] = []
    for name in [*fields, *dict.fromkeys(extra)]:
        cells = [_cell(row, name, right.get(name)) for (_, row), right in zip(answers, marks, strict=True)]
        lines.append([name, _shown(target[name]) if name in target else "–", *cells])
    return table(["field", "wanted", *(label for label, _ in answers)], lines, "answers")


def _cell(row: RowResult, name: str, right: bool | None) -> Markup:
    """What the answer has for a field; ``right`` is ``None`` for fields that the schema does not know."""
    if row.finish_reason == "error":
        text = "not asked"
    elif not row.readable:
        text = "not JSON"
    elif not isinstance(row.value, dict):
        text = "not an object"
    elif name in row.value:
        text, right = _shown(row.value[name]), right or False if row.has_target else None
    else:
        text = "–" if right is None else "(missing)"
    return element("span", text, class_=None if right is None else "right" if right else "wrong", dir="auto")


def _whole(row: RowResult) -> Markup:
    if row.finish_reason == "error":
        return element("span", f"not asked: {row.error}", class_="wrong")
    score_right = row.has_target and row.readable and same_value(row.value, row.target)
    calls = f" {json.dumps(row.tool_calls, ensure_ascii=False)}" if row.tool_calls else ""
    mark = None if not row.has_target else "right" if score_right else "wrong"
    return element("span", (row.text + calls) or "(empty)", class_=mark, dir="auto")


def _question(row: RowResult) -> Markup:
    asked = next((str(m.get("content") or "") for m in reversed(row.prompt) if m.get("role") == "user"), "")
    excerpt = " ".join(asked.split())
    shown = excerpt if len(excerpt) <= EXCERPT else excerpt[:EXCERPT] + "…"
    messages = [
        joined([element("dt", str(m.get("role", ""))), element("dd", _text(m.get("content")), dir="auto")])
        for m in row.prompt
    ]
    return element("details", element("summary", shown or "prompt", dir="auto"), element("dl", *messages))


def _raw(label: str, row: RowResult) -> Markup:
    problems = [element("li", f"{item.problem} {item.path}: {item.message}") for item in row.problems]
    listed = element("ul", *problems) if problems else None
    facts = f"{row.output_tokens} tokens, {row.latency_s:.2f} s, ended by {row.finish_reason}"
    count = f", {len(problems)} {'problem' if len(problems) == 1 else 'problems'}" if problems else ""
    return element(
        "details",
        element("summary", f"raw answer of {label}{count}"),
        element("pre", row.text or row.error or "(empty)", dir="auto"),
        listed,
        element("p", facts, class_="quiet"),
        class_="raw",
    )


def _changed(one: RowResult, two: RowResult) -> bool:
    if one.readable and two.readable:
        return not same_value(one.value, two.value)
    return one.text != two.text


def _shown(value: Any) -> str:
    """Text as it is, other values as JSON; text that reads like another value (``"20"``) keeps its quotes."""
    if isinstance(value, str) and not _LIKE_A_VALUE.fullmatch(value):
        return value
    return json.dumps(value, ensure_ascii=False)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
