"""Quality against price: which models no other beats in both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ftkit.evaluation.report import Report

__all__ = ["Place", "front", "places"]


@dataclass(frozen=True)
class Place:
    """A report on the plane of price and quality."""

    label: str
    price: float
    value: float
    low: float
    high: float


def places(reports: Sequence[tuple[str, Report]]) -> tuple[list[Place], str]:
    """Where each report lies, and what the price is: dollars per 1,000 predictions, else seconds.

    Reports whose headline has no value are left out, as are all when even a latency is missing.
    """
    dollars = all(report.cost.per_1000_usd is not None for _, report in reports)
    found = []
    for label, report in reports:
        price = report.cost.per_1000_usd if dollars else report.timing.latency_p50_s
        metric = report.headline
        if price is None or metric.value is None:
            continue
        low, high = (metric.value if end is None else end for end in (metric.low, metric.high))
        found.append(Place(label, price, metric.value, low, high))
    return found, "$ per 1,000 predictions" if dollars else "median latency in seconds (no price is known for some)"


def front(found: Sequence[Place]) -> list[Place]:
    """Those that no other beats in price without being worse, or in quality without being dearer."""
    return [
        place
        for place in found
        if not any(
            other.price <= place.price
            and other.value >= place.value
            and (other.price < place.price or other.value > place.value)
            for other in found
        )
    ]
