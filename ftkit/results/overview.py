"""Many reports on the same rows: which model to take."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

from ftkit.errors import ConfigError
from ftkit.evaluation.pareto import places
from ftkit.evaluation.verdict import Verdict
from ftkit.render.number_format import (
    change_text,
    interval_text,
    seconds_text,
    usd_text,
    value_text,
)
from ftkit.render.saving import save
from ftkit.results.comparison import compare
from ftkit.results.display import Shown
from ftkit.results.report import Report
from ftkit.type_checks import check_kind

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["Overview", "Standing", "overview"]

HEADER = ("model", "quality", "interval", "against the first", "interval", "verdict", "$ / 1,000", "p50", "best")


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


class Overview(Shown, BaseModel):
    """Several reports side by side, each compared with the first; made by :func:`ftkit.overview`."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

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
    def cells(self) -> list[list[str]]:
        """The table in words, under :data:`HEADER`."""
        return [self._line(one, report) for one, report in zip(self.standings, self.reports, strict=True)]

    @property
    def front(self) -> str:
        """What it means to be on the front here: what counts as the price."""
        _, price = places(self.labelled, self.primary)
        return f"On the front: no other is as good for less, or better for as much, by {price}."

    def _line(self, one: Standing, report: Report) -> list[str]:
        metric = report[self.primary]
        change = "–" if one.difference is None else change_text(one.difference, metric.unit)
        reach = "–"
        if one.low is not None and one.high is not None:
            reach = f"{change_text(one.low, metric.unit)} to {change_text(one.high, metric.unit)}"
        return [
            one.label,
            value_text(metric.value, metric.unit),
            interval_text(metric.low, metric.high, metric.unit),
            change,
            reach,
            one.verdict or "–",
            usd_text(report.cost.per_1000_usd),
            seconds_text(report.timing.latency_p50_s),
            "on the front" if one.on_front else "",
        ]

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the overview; the suffix says how: ``.html``, ``.md`` or ``.json`` (with all reports in it).

        Raises:
            ReportError: another suffix, or the file cannot be written.
        """
        return save(path, json=self._to_json, html=self._to_html, markdown=self._to_markdown)

    def _to_json(self) -> str:
        return json.dumps(self.model_dump(mode="json"), ensure_ascii=False, indent=1, allow_nan=False) + "\n"

    def _to_html(self) -> str:
        from ftkit.render.html import overview_page

        return overview_page(self)

    def _to_markdown(self) -> str:
        from ftkit.render.markdown import overview_markdown

        return overview_markdown(self)

    def __str__(self) -> str:
        from ftkit.render.tables import overview_text

        return overview_text(self)

    def __rich__(self) -> RenderableType:
        from rich.text import Text

        return Text(str(self))

    def _repr_html_(self) -> str:
        from ftkit.render.html import overview_fragment

        return overview_fragment(self)


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
