"""Reports and comparisons for a pull request."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from ftkit.evaluation.metrics import confusion
from ftkit.evaluation.metrics.classification import INVALID
from ftkit.render.overview_table import OVERVIEW_HEADER, overview_cells
from ftkit.render.summary import (
    change_cells,
    change_header,
    comparison_lines,
    metric_cells,
    metric_header,
    probe_lines,
    resource_lines,
    resource_rows,
)
from ftkit.results.number_format import count_text, file_text
from ftkit.results.overview import Overview
from ftkit.results.report import KIND_WORDS, Comparison, Kind, Report
from ftkit.results.report_row import RowResult
from ftkit.results.row_pairing import Pair

__all__ = ["comparison_markdown", "overview_markdown", "report_markdown"]

MOST_ROWS = 10  # listed one by one
MOST_TEXT = 300  # characters of an answer

_SPECIAL = re.compile(r"([\\`*_\[\]<>|#~$])")


def report_markdown(report: Report) -> str:
    """The metrics as a table, then tokens, time, cost and what was measured."""
    cells = [metric_cells(metric, lead=metric.name == report.primary) for metric in report.metrics]
    parts = [
        f"## {_escaped(report.label)}",
        f"{count_text(len(report.rows))} rows of {_escaped(', '.join(map(file_text, report.sources)))}, "
        f"model {_escaped(report.model)}.",
        _table(metric_header(report), cells),
        _list(resource_lines(report)),
        _list(probe_lines(report)),
        _list(report.notes),
        _confusion(report),
        _made(report),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def comparison_markdown(comparison: Comparison) -> str:
    """The verdict, both side by side, and the first rows that got worse and better."""
    cells = [change_cells(metric, lead=metric.name == comparison.primary) for metric in comparison.metrics]
    parts = [
        f"## {_escaped(comparison.before.label)} → {_escaped(comparison.after.label)}",
        f"**{comparison.verdict.capitalize()}.** {_escaped(comparison.sentence)}",
        _table(change_header(comparison), cells),
        _table(
            [KIND_WORDS[kind] for kind, _ in comparison.tally], [[count_text(count) for _, count in comparison.tally]]
        ),
        _table(["", *comparison.labels], resource_rows(comparison)),
        _list(comparison_lines(comparison)),
        _list(comparison.notes),
        _rows(comparison, ("regressed", "worse"), "Rows that got worse"),
        _rows(comparison, ("fixed", "better"), "Rows that got better"),
        _made(comparison.before),
        _made(comparison.after),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def overview_markdown(overview: Overview) -> str:
    """The table of all reports."""
    parts = [
        f"## {_escaped(overview.primary)} of {len(overview.reports)} reports",
        _table(OVERVIEW_HEADER, overview_cells(overview)),
        overview.front,
    ]
    return "\n\n".join([*parts, *map(_made, overview.reports)]) + "\n"


def _rows(comparison: Comparison, kinds: tuple[Kind, ...], title: str) -> str:
    pairs = [pair for pair in comparison.pairs() if comparison.kind_of(pair) in kinds]
    if not pairs:
        return ""
    shown = f", the first {MOST_ROWS}" if len(pairs) > MOST_ROWS else ""
    head = f"<details><summary>{title} ({count_text(len(pairs))}{shown})</summary>"
    return "\n\n".join([head, *(_row(pair, comparison) for pair in pairs[:MOST_ROWS]), "</details>"])


def _row(pair: Pair, comparison: Comparison) -> str:
    before, after = pair
    lines = [
        f"**{_escaped(before.id)}** ({_escaped(file_text(before.place))})",
        _table(
            ["", "answer"],
            [
                ["wanted", _json(before.target)],
                [comparison.labels[0], _answer(before)],
                [comparison.labels[1], _answer(after)],
            ],
        ),
    ]
    return "\n\n".join(lines)


def _answer(row: RowResult) -> str:
    return f"(not asked: {row.error})" if row.finish_reason == "error" else row.text


def _json(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _confusion(report: Report) -> str:
    choices = report.task.get("output", {}).get("choices")
    if not choices:
        return ""
    counts = confusion(report.rows, choices)
    body = [[choice, *map(str, row)] for choice, row in zip(choices, counts, strict=True)]
    return "Wanted (down) against answered (across):\n\n" + _table(["", *choices, INVALID], body)


def _made(report: Report) -> str:
    return (
        f"<sub>{_escaped(report.label)}: ftkit {report.ftkit_version}, {report.created_at}, "
        f"task `{report.task_fingerprint[:19]}`, data `{report.dataset_fingerprint[:19]}`, "
        f"report `{report.digest[:19]}`</sub>"
    )


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] + ["---:"] * (len(header) - 1) if len(header) > 2 else ["---"] * len(header), *rows]
    rule = lines[1]
    return "\n".join(
        "| " + " | ".join(cell if line is rule else _escaped(_cut(cell)) for cell in line) + " |" for line in lines
    )


def _list(lines: Sequence[str]) -> str:
    return "\n".join(f"- {_escaped(line)}" for line in lines)


def _cut(text: str) -> str:
    return text if len(text) <= MOST_TEXT else text[:MOST_TEXT] + "…"


def _escaped(text: str) -> str:
    """``text`` as Markdown that shows just that, on one line, inside a table cell too."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
