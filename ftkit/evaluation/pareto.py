"""The Pareto front of quality and price over several reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ftkit.results.overview import price_of
from ftkit.results.report import Report

__all__ = ["ParetoPoint", "pareto_points"]


@dataclass(frozen=True)
class ParetoPoint:
    """One report by price and quality.

    Attributes:
        label: the report's label.
        price: US dollars per 1,000 predictions, median latency in seconds, or what the caller gave.
        value: the metric.
        low: lower end of its interval.
        high: upper end of its interval.
        on_front: whether no other report is at least as good in both, and better in one of them.
    """

    label: str
    price: float
    value: float
    low: float
    high: float
    on_front: bool = False


def pareto_points(
    reports: Sequence[tuple[str, Report]],
    primary: str,
    *,
    prices: Sequence[float | None] | None = None,
    price: str | None = None,
) -> tuple[list[ParetoPoint], str]:
    """Place reports by price and quality and mark the Pareto front.

    Args:
        reports: labels and reports.
        primary: name of the metric that measures quality.
        prices: a price for each report, of another kind than these.
        price: what ``prices`` are.

    Returns:
        The points, and what the price is: dollars per 1,000 predictions if all reports have them, else seconds.
        Reports without the metric's value, or without that price, are left out.
    """
    in_dollars = all(report.cost.per_1000_usd is not None for _, report in reports)
    points = []
    for at, (label, report) in enumerate(reports):
        own = report.cost.per_1000_usd if in_dollars else report.timing.latency_p50_s
        if prices is not None:
            own = prices[at]
        metric = report[primary]
        if own is None or metric.value is None:
            continue
        low, high = (metric.value if end is None else end for end in (metric.low, metric.high))
        points.append(ParetoPoint(label, own, metric.value, low, high))
    higher_is_better = reports[0][1][primary].higher_is_better
    points = [
        replace(point, on_front=not any(_dominates(other, point, higher_is_better) for other in points))
        for point in points
    ]
    return points, price or price_of([report for _, report in reports])


def _dominates(first: ParetoPoint, second: ParetoPoint, higher_is_better: bool) -> bool:
    improvement = first.value - second.value if higher_is_better else second.value - first.value
    return first.price <= second.price and improvement >= 0 and (first.price < second.price or improvement > 0)
