"""Many reports on the same rows, side by side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict
from typing_extensions import override

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


class Overview(Result, BaseModel):
    """Several reports side by side, each compared with the first; made by :func:`ftkit.overview`."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)
    result_type: ClassVar[str] = "overview"

    kind: Literal["ftkit.overview"] = "ftkit.overview"
    schema_version: Literal[1] = 1
    primary: str
    margin: float | None
    standings: tuple[Standing, ...]
    reports: tuple[Report, ...]

    @property
    def labelled(self) -> list[tuple[str, Report]]:
        """The reports by the label of their standing."""
        return [(one.label, report) for one, report in zip(self.standings, self.reports, strict=True)]

    @property
    def front(self) -> str:
        """What it means to be on the Pareto front here: what counts as the price."""
        return f"On the front: no other is as good for less, or better for as much, by {price_of(self.reports)}."

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
