"""Many reports on the same rows, side by side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict
from typing_extensions import override

from ftkit.extras import require
from ftkit.results.metric_result import Verdict
from ftkit.results.report import Report
from ftkit.results.result import Result

__all__ = ["Overview", "Standing", "price_of"]


class Standing(BaseModel):
    """One report among the others."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    label: str
    verdict: Verdict | None
    """Against the first report; ``None`` for itself."""
    difference: float | None
    """Change of the headline metric against the first report."""
    low: float | None
    high: float | None
    on_front: bool
    """Whether no other is as good for less, or better for as much."""
    fields: dict[str, Any] = {}
    """What tells it from the others, by column: the fields of its recipe, in a sweep."""
    run: str | None = None
    """The run that trained its model, in a sweep."""
    price: float | None = None
    """What it is compared by beside its quality, where the overview names a price of its own."""


class Overview(Result, BaseModel):
    """Several reports side by side, each compared with the first.

    :func:`ftkit.overview` and :func:`ftkit.sweep` make it.
    """

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)
    result_type: ClassVar[str] = "overview"

    kind: Literal["ftkit.overview"] = "ftkit.overview"
    schema_version: Literal[1] = 1
    primary: str
    margin: float | None
    standings: tuple[Standing, ...]
    reports: tuple[Report, ...]
    columns: tuple[str, ...] = ()
    """Names of the standings' fields."""
    price: str | None = None
    """What the standings' prices are; None if the reports' own prices or latencies are compared."""
    notes: tuple[str, ...] = ()

    @property
    def best(self) -> Standing:
        """The standing with the best value of the headline metric; of several, the one with the lowest price."""
        higher = self.reports[0][self.primary].higher_is_better

        def rank(pair: tuple[Standing, Report]) -> tuple[bool, float, float]:
            value = pair[1][self.primary].value
            price = pair[0].price
            return (value is None, -(value or 0.0) if higher else (value or 0.0), price if price is not None else 0.0)

        return min(zip(self.standings, self.reports, strict=True), key=rank)[0]

    def to_pandas(self) -> Any:
        """Return a DataFrame with a row for each report: its fields, quality, interval, price and verdict.

        Returns:
            The frame.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        pandas = require("pandas", extra="pandas", needed_for="an overview as a DataFrame")
        rows = []
        for one, report in zip(self.standings, self.reports, strict=True):
            metric = report[self.primary]
            rows.append(
                {
                    "label": one.label,
                    **one.fields,
                    self.primary: metric.value,
                    "low": metric.low,
                    "high": metric.high,
                    "verdict": one.verdict,
                    "price": one.price,
                    "on_front": one.on_front,
                    "run": one.run,
                }
            )
        return pandas.DataFrame(rows)

    @property
    def labelled(self) -> list[tuple[str, Report]]:
        """The reports by the label of their standing."""
        return [(one.label, report) for one, report in zip(self.standings, self.reports, strict=True)]

    @property
    def front(self) -> str:
        """What it means to be on the Pareto front here: what counts as the price."""
        price = self.price or price_of(self.reports)
        return f"On the front: no other is as good for less, or better for as much, by {price}."

    @override
    def to_json(self) -> str:
        return json.dumps(self.model_dump(mode="json"), ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def price_of(reports: Sequence[Report]) -> str:
    """Choose the price by which reports are compared: dollars where every report has them, else latency.

    Args:
        reports: The reports.

    Returns:
        The price with its unit, in words.
    """
    if all(report.cost.per_1000_usd is not None for report in reports):
        return "$ per 1,000 predictions"
    return "median latency in seconds (no price is known for some)"
