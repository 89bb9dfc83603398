"""Put many reports on the same rows side by side."""

from __future__ import annotations

from collections.abc import Sequence

from ftkit.errors import ConfigError
from ftkit.evaluation.pareto import places
from ftkit.evaluation.report_comparison import compare
from ftkit.results.metric_result import Verdict
from ftkit.results.overview import Overview, Standing
from ftkit.results.report import Report
from ftkit.type_checks import check_kind

__all__ = ["overview"]


def overview(reports: Sequence[Report], *, margin: float | None = None, confidence: float = 0.95) -> Overview:
    """Put reports on the same rows side by side; the first is what the others are compared with.

    With many candidates one of them looks good by chance: confirm the winner on rows that played no part.

    Args:
        reports: at least two, with the same headline metric.
        margin: the loss that would still be acceptable, as for :func:`ftkit.compare`.
        confidence: of the intervals of changes.

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
    found, _ = places(list(zip(labels, reports, strict=True)), first.primary)
    best = {place.label for place in found if place.on_front}
    standings = [_standing(labels[0], None, None, None, None, labels[0] in best)]
    for label, against in zip(labels[1:], comparisons, strict=True):
        change = against[first.primary]
        standings.append(_standing(label, against.verdict, change.difference, change.low, change.high, label in best))
    return Overview(primary=first.primary, margin=margin, standings=tuple(standings), reports=tuple(reports))


def _standing(
    label: str, verdict: Verdict | None, difference: float | None, low: float | None, high: float | None, best: bool
) -> Standing:
    return Standing(label=label, verdict=verdict, difference=difference, low=low, high=high, on_front=best)
