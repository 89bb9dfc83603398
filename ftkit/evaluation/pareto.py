"""Quality against price: which models no other beats in both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ftkit.results.overview import price_of
from ftkit.results.report import Report

__all__ = ["Place", "places"]


@dataclass(frozen=True)
class Place:
    """A report on the plane of price and quality."""

    label: str
    price: float
    value: float
    low: float
    high: float
    on_front: bool = False
    """Whether no other beats it in price without being worse, or in quality without being dearer."""


def places(reports: Sequence[tuple[str, Report]], primary: str) -> tuple[list[Place], str]:
    """Where each report lies by the metric ``primary``, and the price: dollars per 1,000 predictions, else seconds.

    Reports whose metric has no value are left out, as are all when even a latency is missing.
    """
    dollars = all(report.cost.per_1000_usd is not None for _, report in reports)
    found = []
    for label, report in reports:
        price = report.cost.per_1000_usd if dollars else report.timing.latency_p50_s
        metric = report[primary]
        if price is None or metric.value is None:
            continue
        low, high = (metric.value if end is None else end for end in (metric.low, metric.high))
        found.append(Place(label, price, metric.value, low, high))
    up = reports[0][1][primary].higher_is_better
    found = [replace(place, on_front=not any(_beats(other, place, up) for other in found)) for place in found]
    return found, price_of([report for _, report in reports])


def _beats(one: Place, two: Place, up: bool) -> bool:
    gain = one.value - two.value if up else two.value - one.value
    return one.price <= two.price and gain >= 0 and (one.price < two.price or gain > 0)
