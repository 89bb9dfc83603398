"""Reports, comparisons and overviews as HTML pages that need nothing else, and as fragments for notebooks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ftkit.counts import counted
from ftkit.evaluation.pareto import pareto_points
from ftkit.render.charts import (
    IntervalChart,
    evaluation_plots,
    latency_plot,
    loss_plot,
    metric_chart,
    pareto_plot,
)
from ftkit.render.overview_table import overview_table
from ftkit.render.probe_lines import probe_lines
from ftkit.render.report_tables import (
    change_table,
    comparison_lines,
    confusion_tables,
    metric_table,
    resource_lines,
    resource_table,
)
from ftkit.render.row_cards import FILTERED_KINDS, comparison_cards, overview_cards, report_cards
from ftkit.render.summary import comparison_badge, comparison_summary, report_summary
from ftkit.render.table import Row, Table
from ftkit.render.templates import render_fragment, render_page
from ftkit.results.number_format import count_text, interval_text, margin_text, percent_text, value_text
from ftkit.results.overview import Overview
from ftkit.results.report import Comparison, Forgetting, Report
from ftkit.results.row_pairing import KIND_WORDS

__all__ = [
    "comparison_notebook",
    "comparison_page",
    "overview_notebook",
    "overview_page",
    "report_notebook",
    "report_page",
]

_Labelled = Sequence[tuple[str, Report]]

MAX_CHOICES = 8
"""Above this number of choices, the rates of each choice are folded away."""


@dataclass(frozen=True, slots=True)
class _Panel:
    """Charts and sentences of one probe.

    Attributes:
        title: Heading; a label of a report where several are shown.
        charts: The charts.
        lines: The sentences.
        flagged: Whether one of them is a warning.
    """

    title: str
    charts: list[IntervalChart]
    lines: Sequence[str] = ()
    flagged: bool = False


def report_page(report: Report) -> str:
    """Render a report as a page.

    Args:
        report: The report.

    Returns:
        HTML.
    """
    labelled = [(report.label, report)]
    return _page(
        "report",
        f"{report.label}: {report.primary}",
        report=report,
        headline=_headline(report),
        flagged=bool(report.flags),
        facts=report_summary(report),
        notes=[note for note in report.notes if note not in report.flags],
        confusion=_confusion(labelled),
        abilities=_abilities(report),
        overfitting=_overfitting(labelled),
        training=loss_plot(labelled),
        evaluations=evaluation_plots(labelled),
        latency=latency_plot(labelled),
        **_split(metric_table(report), report),
        lines=[*resource_lines(report), *probe_lines(report)],
        rows=report_cards(report),
        provenance=_provenance(labelled),
    )


def comparison_page(comparison: Comparison) -> str:
    """Render a comparison as a page.

    Args:
        comparison: The comparison.

    Returns:
        HTML.
    """
    before, after = comparison.labels
    labelled = list(zip(comparison.labels, (comparison.before, comparison.after), strict=True))
    margin = ""
    if comparison.margin is not None:
        margin = f" Dashed: the margin of {margin_text(comparison.margin, comparison[comparison.primary].unit)}."
    sources = dict.fromkeys(f"{label}: {report.cost.source}" for label, report in labelled)
    return _page(
        "comparison",
        f"{before} → {after}: {comparison.verdict}",
        comparison=comparison,
        heading=f"{before} → {after}",
        badge=comparison_badge(comparison),
        facts=comparison_summary(comparison),
        tiles=[(kind, count_text(count), KIND_WORDS[kind], kind in FILTERED_KINDS) for kind, count in comparison.tally],
        notes=[note for note in comparison.notes if not any(flag in note for flag in comparison.flags)],
        quality=_quality(labelled),
        **_split(change_table(comparison), comparison.before),
        margin=margin,
        confusion=_confusion([(report.label, report) for _, report in labelled]),
        abilities=_forgetting(comparison.forgetting),
        overfitting=_overfitting(labelled),
        resources=resource_table(comparison),
        lines=[line for line in comparison_lines(comparison) if line.startswith("Break-even")],
        sources="; ".join(sources),
        rows=comparison_cards(comparison),
        provenance=_provenance([(report.label, report) for _, report in labelled]),
        **_shared_charts(labelled, comparison.primary),
    )


def overview_page(overview: Overview) -> str:
    """Render an overview as a page.

    Args:
        overview: The overview.

    Returns:
        HTML.
    """
    labelled = overview.labelled
    reports = [(report.label, report) for report in overview.reports]
    return _page(
        "overview",
        f"{len(labelled)} reports: {overview.primary}",
        overview=overview,
        first=labelled[0][0],
        table=overview_table(overview),
        quality=_quality(labelled),
        confusion=_confusion(reports),
        overfitting=_overfitting(labelled),
        notes=[
            *overview.notes,
            *dict.fromkeys(f"{label}: {note}" for label, report in labelled for note in report.notes),
        ],
        rows=overview_cards(overview),
        provenance=_provenance(reports),
        **_shared_charts(labelled, overview.primary, overview),
    )


def report_notebook(report: Report) -> str:
    """Render the metrics of a report for a notebook, without scripts and styles.

    Args:
        report: The report.

    Returns:
        HTML.
    """
    lines = [*resource_lines(report), *probe_lines(report)]
    return render_fragment(
        "notebook",
        strong=report.label,
        text=f": {_headline(report)}",
        tables=[metric_table(report)],
        lines=[*lines, *_sentences(report.notes)],
    )


def comparison_notebook(comparison: Comparison) -> str:
    """Render the verdict and the metrics of a comparison for a notebook, without scripts and styles.

    Args:
        comparison: The comparison.

    Returns:
        HTML.
    """
    return render_fragment(
        "notebook",
        strong=comparison.verdict.upper(),
        text=f". {comparison.sentence}",
        tables=[change_table(comparison), resource_table(comparison)],
        lines=[*comparison_lines(comparison), *_sentences(comparison.notes)],
    )


def overview_notebook(overview: Overview) -> str:
    """Render the table of an overview for a notebook, without scripts and styles.

    Args:
        overview: The overview.

    Returns:
        HTML.
    """
    return render_fragment(
        "notebook",
        strong=overview.primary,
        text="",
        tables=[overview_table(overview)],
        lines=[overview.front, *_sentences(overview.notes)],
    )


def _page(template: str, title: str, **context: Any) -> str:
    return render_page(template, title, scripts=["page.js"], **context)


def _split(table: Table, report: Report) -> dict[str, Table | None]:
    """The table of metrics with the headline first; with many choices, the rates of each of them by themselves."""
    each = ("precision:", "recall:", "f1:")
    many = len(getattr(report.output, "choices", ())) > MAX_CHOICES
    rows = sorted(table.rows, key=lambda row: not row.bold)
    apart = [row for row in rows if many and not row.bold and _name(row).startswith(each)]
    main = [row for row in rows if row not in apart]
    return {"metrics": Table(table.columns, main), "each": Table(table.columns, apart) if apart else None}


def _name(row: Row) -> str:
    cell = row.cells[0]
    return cell if isinstance(cell, str) else cell.text


def _quality(labelled: _Labelled) -> IntervalChart | None:
    sides = [(label, report.metrics) for label, report in labelled]
    return metric_chart(sides, "metrics of all reports with their intervals")


def _shared_charts(labelled: _Labelled, primary: str, overview: Overview | None = None) -> dict[str, Any]:
    named = None if overview is None else overview.price
    prices = None if overview is None or named is None else [one.price for one in overview.standings]
    points, price = pareto_points(labelled, primary, prices=prices, price=named)
    return {
        "plane": pareto_plot(points, labelled[0][1][primary], price),
        "training": loss_plot(labelled),
        "evaluations": evaluation_plots(labelled),
        "latency": latency_plot(labelled),
    }


def _confusion(labelled: _Labelled) -> list[tuple[str, Any]]:
    found = ((label, confusion_tables(report)) for label, report in labelled)
    return [(label, tables) for label, tables in found if tables]


def _forgetting(forgetting: Forgetting | None) -> list[_Panel]:
    """Abilities beside the task, before and after."""
    if forgetting is None:
        return []
    charts = []
    for name, part in (("general set", forgetting.general), ("retention set", forgetting.retention)):
        if part is not None:
            sides = list(zip(part.labels, (part.before.metrics, part.after.metrics), strict=True))
            charts.append(metric_chart(sides, f"{name} before and after"))
    known = [chart for chart in charts if chart is not None]
    return [_Panel("Forgetting", known, forgetting.lines, bool(forgetting.flags))]


def _abilities(report: Report) -> list[_Panel]:
    """Abilities beside the task; with those of the base model where the report has them."""
    if report.forgetting is not None:
        return _forgetting(report.forgetting)
    probes = report.probes
    if probes is None or (probes.general is None and probes.retention is None):
        return []
    charts = [
        metric_chart([(report.label, part.metrics)], "share of questions passed")
        for part in (probes.general, probes.retention)
        if part is not None
    ]
    return [_Panel("Beside the task", [chart for chart in charts if chart is not None])]


def _overfitting(labelled: _Labelled) -> list[_Panel]:
    """Training rows against held-out rows, of every report with the probe."""
    panels = []
    for label, report in labelled:
        found = None if report.probes is None else report.probes.overfitting
        if found is None:
            continue
        gaps = [gap for gap in (found.gap, found.memory) if gap is not None]
        sides = [
            (f"training rows ({found.train_rows})", [gap.train for gap in gaps]),
            (f"held-out rows ({len(report.rows)})", [gap.held_out for gap in gaps]),
        ]
        chart = metric_chart(sides, "training rows against held-out rows") if gaps else None
        panels.append(_Panel(label, [] if chart is None else [chart], found.lines, bool(found.flags)))
    return panels


def _headline(report: Report) -> str:
    metric = report.headline
    interval = interval_text(metric.low, metric.high, metric.unit)
    return (
        f"{metric.name} {value_text(metric.value, metric.unit)} "
        f"({percent_text(report.confidence)} interval {interval}) on {counted(metric.n, 'row')}"
    )


def _provenance(labelled: _Labelled) -> list[tuple[str, dict[str, str]]]:
    return [
        (
            label,
            {
                "model": report.model,
                "rows": f"{len(report.rows)} of {', '.join(report.sources)}",
                "made": f"{report.created_at} by ftkit {report.ftkit_version}",
                "sampling": json.dumps(report.sampling.model_dump(), ensure_ascii=False),
                "intervals": f"{report.confidence:g} confidence, seed {report.seed}",
                "task": report.task_fingerprint,
                "data": report.dataset_fingerprint,
                "report": report.digest,
                **{
                    str(key): value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
                    for key, value in report.about.items()
                },
            },
        )
        for label, report in labelled
    ]


def _sentences(notes: Sequence[str]) -> list[str]:
    return [f"Note: {note}." for note in notes]
