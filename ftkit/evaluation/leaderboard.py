"""Overview of many reports on the same rows."""

from __future__ import annotations

from collections.abc import Sequence

from ftkit.arguments import check_kind
from ftkit.errors import ConfigError
from ftkit.evaluation.pareto import pareto_points
from ftkit.evaluation.report_comparison import compare
from ftkit.results.overview import Overview, Standing
from ftkit.results.report import Report

__all__ = ["overview"]


def overview(reports: Sequence[Report], *, margin: float | None = None, confidence: float = 0.95) -> Overview:
    """Compare several reports on the same rows with the first of them.

    Among many candidates, one may look good by chance. Confirm the winner on other rows.

    Args:
        reports: at least two reports with the same headline metric.
        margin: the largest acceptable loss, as for :func:`ftkit.compare`.
        confidence: confidence level of the intervals of changes.

    Returns:
        The overview, which also marks the Pareto front of quality and price.

    Raises:
        ConfigError: fewer than two reports.
        ReportError: their rows differ.
    """
    check_kind(reports, Sequence, "reports", "a list: ft.overview([old, small, large])")
    if len(reports) < 2:
        raise ConfigError(f"an overview takes at least two reports, not {len(reports)}")
    first = reports[0]
    labels: list[str] = []
    for report in reports:
        same = sum(label.partition(" #")[0] == report.label for label in labels)
        labels.append(f"{report.label} #{same + 1}" if same else report.label)
    comparisons = [
        compare(first, report, margin=margin, confidence=confidence, primary=first.primary) for report in reports[1:]
    ]
    front = {
        point.label
        for point in pareto_points(list(zip(labels, reports, strict=True)), first.primary)[0]
        if point.on_front
    }
    standings = [
        Standing(label=labels[0], verdict=None, difference=None, low=None, high=None, on_front=labels[0] in front)
    ]
    for label, comparison in zip(labels[1:], comparisons, strict=True):
        change = comparison[first.primary]
        standings.append(
            Standing(
                label=label,
                verdict=comparison.verdict,
                difference=change.difference,
                low=change.low,
                high=change.high,
                on_front=label in front,
            )
        )
    return Overview(primary=first.primary, margin=margin, standings=tuple(standings), reports=tuple(reports))
