"""The parts of a page above its rows."""

from __future__ import annotations

import json
from collections.abc import Sequence

from ftkit.evaluation.metrics import confusion
from ftkit.evaluation.metrics.classification import INVALID
from ftkit.render.html.charts import Figure, chart
from ftkit.render.html.pictures import change_bar, change_reach, metric_bar, two_values
from ftkit.render.markup import Markup, element, joined, table
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
from ftkit.results.number_format import margin_text
from ftkit.results.report import Comparison, Report

__all__ = [
    "change_panel",
    "chart_panel",
    "confusion_panel",
    "made_panel",
    "metric_panel",
    "notes_panel",
    "resource_panel",
]


def metric_panel(report: Report) -> Markup:
    """Every metric with its interval, in numbers and drawn."""
    rows = []
    for metric in report.metrics:
        name, *cells = metric_cells(metric, lead=False)
        rows.append([_named(name, metric.description, name == report.primary), metric_bar(metric), *cells])
    name, *header = metric_header(report)
    return _panel("Metrics", table([name, "0 – 100 %", *header], rows, "numbers"))


def chart_panel(title: str, figure: Figure | None, label: str) -> Markup | None:
    """A chart under its title; nothing when there is nothing to draw."""
    drawn = chart(figure, label)
    return None if drawn is None else _panel(title, drawn)


def change_panel(comparison: Comparison) -> Markup:
    """Every metric before and after, and its change with the paired interval."""
    reach = change_reach(comparison.metrics)
    rows = []
    for change in comparison.metrics:
        name, before, after, difference, interval, p_value, verdict = change_cells(change, lead=False)
        lead = name == comparison.primary
        bar = change_bar(change, reach, comparison.margin if lead else None)
        badge = element("span", verdict, class_=f"badge {verdict}") if verdict else None
        named = _named(name, change.description, lead)
        rows.append([named, two_values(change), before, after, bar, difference, interval, p_value, badge])
    name, before, after, difference, interval, p_value, verdict = change_header(comparison)
    drawn = f"−{reach * 100:.0f} … +{reach * 100:.0f}"
    header = [name, "○ before ● after", before, after, drawn, difference, interval, p_value, verdict]
    unit = comparison[comparison.primary].unit
    margin = "" if comparison.margin is None else f" Dashed: the margin of {margin_text(comparison.margin, unit)}."
    explained = (
        "Changes of rates are in percentage points, with paired intervals. p: no change; for fields adjusted for "
        f"their number (Holm).{margin}"
    )
    return _panel("Metrics", table(header, rows, "numbers changes"), element("p", explained, class_="quiet"))


def resource_panel(reports: Report | Comparison) -> Markup:
    """Tokens, time and cost."""
    if isinstance(reports, Report):
        lines = [element("li", line) for line in (*resource_lines(reports), *probe_lines(reports))]
        return _panel("Tokens, time, cost", element("ul", *lines))
    header = ["", *reports.labels]
    sources = dict.fromkeys(
        f"{label}: {side.cost.source}"
        for label, side in zip(reports.labels, (reports.before, reports.after), strict=True)
    )
    found = table(header, resource_rows(reports), "numbers")
    even = [element("p", line) for line in comparison_lines(reports) if line.startswith("Break-even")]
    return _panel("Tokens, time, cost", found, *even, element("p", f"Cost: {'; '.join(sources)}.", class_="quiet"))


def notes_panel(notes: Sequence[str]) -> Markup | None:
    """What to know before believing the numbers; nothing when there is nothing."""
    return element("ul", *(element("li", f"{note}.") for note in notes), class_="notes") if notes else None


def confusion_panel(*reports: Report) -> Markup | None:
    """A confusion matrix for each report of a task with choices."""
    choices = reports[0].task.get("output", {}).get("choices")
    if not choices:
        return None
    parts: list[Markup] = []
    for report in reports:
        counts = confusion(report.rows, choices)
        rows = []
        for place, (choice, row) in enumerate(zip(choices, counts, strict=True)):
            total = max(sum(row), 1)
            rows.append([choice, *(_shaded(n, n / total, column == place) for column, n in enumerate(row))])
        parts.append(element("h3", report.label))
        parts.append(table(["wanted ↓ answered →", *choices, INVALID], rows, "matrix"))
    return _panel("Confusion", *parts)


def made_panel(*reports: Report) -> Markup:
    """What produced the numbers."""
    parts: list[Markup] = []
    for report in reports:
        facts = {
            "model": report.model,
            "rows": f"{len(report.rows)} of {', '.join(report.sources)}",
            "made": f"{report.created_at} by ftkit {report.ftkit_version}",
            "sampling": json.dumps(report.sampling.model_dump(), ensure_ascii=False),
            "intervals": f"{report.confidence:g} confidence, seed {report.seed}",
            "task": report.task_fingerprint,
            "data": report.dataset_fingerprint,
            "report": report.digest,
            **{str(key): _plain_text(value) for key, value in report.about.items()},
        }
        parts.append(element("h3", report.label))
        pairs = (joined([element("dt", key), element("dd", value)]) for key, value in facts.items())
        parts.append(element("dl", *pairs))
    return element("details", element("summary", "How this was made"), *parts, class_="panel made")


def _named(name: str, description: str, lead: bool) -> Markup:
    shown = element("strong", name) if lead else element("span", name)
    return element("span", shown, element("small", description), class_="named")


def _shaded(count: int, share: float, right: bool) -> Markup:
    level = str(round(share * 100))
    classes = f"cell {'right' if right else 'wrong'}" if count else "cell"
    return element("span", str(count), class_=classes, style=f"--share:{level}%")


def _panel(title: str, *content: Markup) -> Markup:
    return element("section", element("h2", title), *content, class_="panel")


def _plain_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
