"""What probes found: forgetting and learning by heart."""

from __future__ import annotations

from collections.abc import Sequence

from ftkit.render.html.charts import chart, metric_chart
from ftkit.render.markup import Markup, element
from ftkit.results.metric_result import MetricResult
from ftkit.results.report import Forgetting, Report

__all__ = ["forgetting_panel", "overfitting_panel", "retention_panel"]


def forgetting_panel(found: Forgetting | None) -> Markup | None:
    """Abilities beside the task, before and after."""
    if found is None:
        return None
    charts = []
    for name, part in (("general set", found.general), ("retention set", found.retention)):
        if part is not None:
            sides = list(zip(part.labels, (part.before.metrics, part.after.metrics), strict=True))
            charts.append(chart(metric_chart(sides), f"{name} before and after"))
    return _panel("Forgetting", [*charts, _list(found.lines, flagged=bool(found.flags))])


def retention_panel(report: Report) -> Markup | None:
    """Abilities beside the task, of one model; beside its base where the report has that."""
    if report.forgetting is not None:
        return forgetting_panel(report.forgetting)
    probes = report.probes
    if probes is None or (probes.general is None and probes.retention is None):
        return None
    charts = [
        chart(metric_chart([(report.label, part.metrics)]), "share of questions passed")
        for part in (probes.general, probes.retention)
        if part is not None
    ]
    return _panel("Beside the task", charts)


def overfitting_panel(reports: Sequence[tuple[str, Report]]) -> Markup | None:
    """Training rows against held-out ones, for every report that has the probe."""
    parts: list[Markup | None] = []
    for label, report in reports:
        found = None if report.probes is None else report.probes.overfitting
        if found is None:
            continue
        gaps = [gap for gap in (found.gap, found.memory) if gap is not None]
        sides: list[tuple[str, list[MetricResult]]] = [
            (f"training rows ({found.train_rows})", [gap.train for gap in gaps]),
            (f"held-out rows ({len(report.rows)})", [gap.held_out for gap in gaps]),
        ]
        parts.append(element("h3", label))
        parts.append(chart(metric_chart(sides), "training rows against held-out rows") if gaps else None)
        parts.append(_list(found.lines, flagged=bool(found.flags)))
    return _panel("Overfitting", parts) if parts else None


def _list(lines: Sequence[str], *, flagged: bool) -> Markup:
    return element("ul", *(element("li", line) for line in lines), class_="flagged" if flagged else None)


def _panel(title: str, content: Sequence[Markup | None]) -> Markup:
    return element("section", element("h2", title), *content, class_="panel")
