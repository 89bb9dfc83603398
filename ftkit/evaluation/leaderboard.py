"""Overview of many reports on the same rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ftkit.arguments import check_kind, explain_calls
from ftkit.counts import counted
from ftkit.errors import ConfigError
from ftkit.evaluation.pareto import pareto_points
from ftkit.evaluation.report_comparison import compare
from ftkit.evaluation.statistics import holm
from ftkit.results.metric_result import Verdict
from ftkit.results.overview import Overview, Standing
from ftkit.results.report import Comparison, Report

__all__ = ["overview", "rank_reports"]


@explain_calls(instead="ft.overview([before, after])")
def overview(reports: Sequence[Report], *, margin: float | None = None, confidence: float = 0.95) -> Overview:
    """Compare several reports on the same rows with the first of them.

    Among many candidates, one may look good by chance: to be called better, it needs a p value that is adjusted for
    their number (Holm). Confirm the winner on other rows, because its value is the best of several.

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
    return rank_reports(reports, margin=margin, confidence=confidence)


def rank_reports(
    reports: Sequence[Report],
    *,
    margin: float | None = None,
    confidence: float = 0.95,
    fields: Sequence[Mapping[str, Any]] = (),
    runs: Sequence[str] = (),
    prices: Sequence[float | None] | None = None,
    price: str | None = None,
    notes: Sequence[str] = (),
) -> Overview:
    """Compare reports with the first of them, with what is known of the runs that made their models.

    Args:
        reports: at least one report.
        margin: the largest acceptable loss.
        confidence: confidence level of the intervals of changes.
        fields: for each report, the fields in which they differ, the same for all.
        runs: for each report, the run that trained its model.
        prices: for each report, what it is compared by beside its quality; dollars per 1,000 predictions, or the
            latency, by default.
        price: what ``prices`` are, with their unit.
        notes: caveats.

    Returns:
        The overview.
    """
    first = reports[0]
    labels: list[str] = []
    for report in reports:
        same = sum(label.partition(" #")[0] == report.label for label in labels)
        labels.append(f"{report.label} #{same + 1}" if same else report.label)
    comparisons = [
        compare(first, report, margin=margin, confidence=confidence, primary=first.primary) for report in reports[1:]
    ]
    points, _ = pareto_points(list(zip(labels, reports, strict=True)), first.primary, prices=prices, price=price)
    front = {point.label for point in points if point.on_front}
    changes = [None, *(comparison[first.primary] for comparison in comparisons)]
    verdicts = [None, *_verdicts(comparisons, first.primary)]
    demoted = sum(one == "better" for one in (each.verdict for each in comparisons)) - verdicts.count("better")
    if demoted:
        notes = (
            *notes,
            f"{counted(demoted, 'report')} would be better alone, and not among {len(comparisons)} that are compared "
            f"with {labels[0]} (p values adjusted by Holm's method)",
        )
    standings = [
        Standing(
            label=label,
            verdict=verdict,
            difference=None if change is None else change.difference,
            low=None if change is None else change.low,
            high=None if change is None else change.high,
            on_front=label in front,
            fields=dict(fields[at]) if fields else {},
            run=runs[at] if runs else None,
            price=None if prices is None else prices[at],
        )
        for at, (label, verdict, change) in enumerate(zip(labels, verdicts, changes, strict=True))
    ]
    return Overview(
        primary=first.primary,
        margin=margin,
        standings=tuple(standings),
        reports=tuple(reports),
        columns=tuple(fields[0]) if fields else (),
        price=price,
        notes=tuple(notes),
    )


def _verdicts(comparisons: Sequence[Comparison], primary: str) -> list[Verdict]:
    """The verdicts of comparisons with one report, where "better" allows for their number."""
    changes = [comparison[primary] for comparison in comparisons]
    adjusted = holm([1.0 if change.p_value is None else change.p_value for change in changes])
    found: list[Verdict] = []
    for comparison, change, p_value in zip(comparisons, changes, adjusted, strict=True):
        verdict = comparison.verdict
        if verdict == "better" and change.p_value is not None and p_value > 1 - comparison.confidence:
            verdict = "inconclusive" if comparison.margin is None else "non-inferior"
        found.append(verdict)
    return found
