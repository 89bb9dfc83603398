"""Charts of pages: shapes in percent of the width and height, which templates draw as SVG at any size.

They need no script and no library. Texts are HTML beside the SVG, so that they keep their size on a phone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from ftkit.evaluation.pareto import ParetoPoint
from ftkit.results.metric_result import MetricResult
from ftkit.results.number_format import interval_text, usd_text, value_text
from ftkit.results.report import Report

__all__ = [
    "Curve",
    "IntervalChart",
    "IntervalRow",
    "Mark",
    "Plot",
    "evaluation_plots",
    "latency_plot",
    "loss_plot",
    "metric_chart",
    "pareto_plot",
]

_MAX_METRICS = 24
_MAX_POINTS = 160
_SERIES = 6
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True, slots=True)
class Mark:
    """A value with its interval.

    Attributes:
        series: Number of the colour, from 1.
        x: Position in percent.
        low: Left end of the interval in percent; None if there is none.
        high: Right end.
        y: Position in percent from the top.
        title: What a pointer shows.
    """

    series: int
    x: float
    low: float | None = None
    high: float | None = None
    y: float = 50.0
    title: str = ""


@dataclass(frozen=True, slots=True)
class IntervalRow:
    """One metric: its name and a mark for each report.

    Attributes:
        name: Name of the metric.
        marks: The marks.
        text: The values in words.
    """

    name: str
    marks: list[Mark]
    text: str


@dataclass(frozen=True, slots=True)
class IntervalChart:
    """Rates with their intervals, one line for each metric.

    Attributes:
        rows: The metrics.
        legend: Series, label and whether it is dashed, of each report; empty if there is one report.
        label: What the chart shows, for screen readers.
    """

    rows: list[IntervalRow]
    legend: list[tuple[int, str, bool]]
    label: str

    @property
    def height(self) -> int:
        """Height of one line in pixels."""
        return 16 + 7 * (max((len(row.marks) for row in self.rows), default=1) - 1)


@dataclass(frozen=True, slots=True)
class Curve:
    """A line of a plot.

    Attributes:
        series: Number of the colour, from 1; 0 is quiet.
        points: Points as SVG writes them, in percent.
        dashed: Whether it is dashed.
    """

    series: int
    points: str
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Plot:
    """Curves and marks over two axes.

    Attributes:
        label: What the plot shows, for screen readers.
        x_title: Title of the horizontal axis.
        x_ticks: Position in percent and text.
        y_ticks: Position in percent from the top and text.
        curves: The lines.
        marks: The points, with vertical intervals.
        legend: Series, label and whether it is dashed.
    """

    label: str
    x_title: str
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    curves: list[Curve] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    legend: list[tuple[int, str, bool]] = field(default_factory=list)


def metric_chart(reports: Sequence[tuple[str, Sequence[MetricResult]]], label: str) -> IntervalChart | None:
    """Draw rates as dots with their intervals, one line for each metric.

    Args:
        reports: Label and metrics of each report.
        label: What the chart shows, for screen readers.

    Returns:
        The chart; None if the first report has no rates.
    """
    rates = [metric.name for metric in reports[0][1] if metric.unit == "rate" and metric.value is not None]
    names = [name for name in rates if not name.startswith(("precision:", "recall:"))][:_MAX_METRICS]
    if not names:
        return None
    by_report = [{metric.name: metric for metric in metrics if metric.value is not None} for _, metrics in reports]
    rows = []
    for name in names:
        found = [(at, own[name]) for at, own in enumerate(by_report) if name in own]
        marks = [
            _metric_mark(metric, _series(at, len(reports)), (at + 1) / (len(reports) + 1), reports[at][0])
            for at, metric in found
        ]
        rows.append(IntervalRow(name, marks, " → ".join(value_text(metric.value, "rate") for _, metric in found)))
    many = len(reports) > 1
    legend = [(_series(at, len(reports)), name, False) for at, (name, _) in enumerate(reports)] if many else []
    return IntervalChart(rows, legend, label)


def latency_plot(reports: Sequence[tuple[str, Report]]) -> Plot | None:
    """Draw the share of answers that took at most so many seconds.

    Args:
        reports: Label and report of each.

    Returns:
        The plot; None if nothing was answered.
    """
    curves = {}
    for at, (label, report) in enumerate(reports):
        latencies = sorted(
            answer.latency_s for row in report.rows for answer in row.answers if answer.finish_reason != "error"
        )
        if latencies:
            kept = _thinned(list(enumerate(latencies, start=1)))
            curves[label] = (at, [(seconds, count / len(latencies)) for count, seconds in kept])
    if not curves:
        return None
    high = max(points[-1][0] for _, points in curves.values())
    ticks, end = _ticks(0.0, high)
    drawn = [
        Curve(_series(at, len(reports)), _path([(0.0, 0.0), *_steps(points)], (0, end), (0, 1)))
        for at, points in curves.values()
    ]
    legend = (
        [(_series(at, len(reports)), label, False) for label, (at, _) in curves.items()] if len(reports) > 1 else []
    )
    return Plot(
        label="share of answers by latency",
        x_title="seconds",
        x_ticks=[(_percent(tick, 0, end), f"{tick:g}") for tick in ticks],
        y_ticks=[(100 - 100 * share, value_text(share, "rate").replace(".0", "")) for share in (0.0, 0.5, 1.0)],
        curves=drawn,
        legend=legend,
    )


def pareto_plot(points: Sequence[ParetoPoint], metric: MetricResult, price: str) -> Plot | None:
    """Draw quality against price, with the Pareto front.

    Args:
        points: The reports in the plane of price and quality.
        metric: Metric of the vertical axis.
        price: Title of the horizontal axis.

    Returns:
        The plot; None for fewer than two points.
    """
    if len(points) < 2:
        return None
    x_ticks, right = _ticks(0.0, max(point.price for point in points) * 1.05)
    if metric.unit == "rate":
        y_ticks, bottom, top = [0.0, 0.25, 0.5, 0.75, 1.0], 0.0, 1.0
    else:
        bottom = min(point.low for point in points)
        y_ticks, top = _ticks(bottom, max(point.high for point in points))
    front = sorted((point for point in points if point.on_front), key=lambda point: point.price)
    in_dollars = "$" in price

    def price_text(value: float) -> str:
        return usd_text(value) if in_dollars else f"{value:.3g}"

    marks = [
        Mark(
            series=_series(at, len(points)),
            x=_percent(point.price, 0, right),
            y=100 - _percent(point.value, bottom, top),
            low=100 - _percent(point.low, bottom, top),
            high=100 - _percent(point.high, bottom, top),
            title=f"{point.label}: {price_text(point.price)}, {value_text(point.value, metric.unit)}",
        )
        for at, point in enumerate(points)
    ]
    return Plot(
        label=f"{metric.name} against price",
        x_title=price,
        x_ticks=[(_percent(tick, 0, right), price_text(tick)) for tick in x_ticks],
        y_ticks=[
            (
                100 - _percent(tick, bottom, top),
                f"{tick * 100:.0f} %" if metric.unit == "rate" else value_text(tick, "number"),
            )
            for tick in y_ticks
        ],
        curves=[
            Curve(0, _path([(point.price, point.value) for point in front], (0, right), (bottom, top)), dashed=True)
        ],
        marks=marks,
        legend=[
            *((_series(at, len(points)), point.label, False) for at, point in enumerate(points)),
            (0, "Pareto front", True),
        ],
    )


def loss_plot(reports: Sequence[tuple[str, Report]]) -> Plot | None:
    """Draw training and validation loss by step.

    Args:
        reports: Label and report of each.

    Returns:
        The plot; None if no report has a training curve.
    """
    lines: list[_Line] = []
    for at, (label, report) in enumerate(reports):
        if report.training is not None:
            for name, points, dashed in (
                ("training", report.training.losses, False),
                ("validation", report.training.validation, True),
            ):
                lines.append((_series(at, len(reports)), f"{label}, {name}", dashed, points))
    return _step_plot("loss by step", lines)


def evaluation_plots(reports: Sequence[tuple[str, Report]]) -> list[tuple[str, Plot]]:
    """Draw what evaluations during training measured besides the loss.

    Args:
        reports: Label and report of each.

    Returns:
        Title and plot of the metric that runs went by, and of the divergence from the model before training.
    """
    curves = [(at, label, report.training) for at, (label, report) in enumerate(reports) if report.training is not None]
    names = dict.fromkeys(curve.metric for _, _, curve in curves if curve.metric)
    asked = [
        (
            f"{name} on validation rows",
            [(at, label, curve.metric_values) for at, label, curve in curves if curve.metric == name],
        )
        for name in names
    ]
    asked.append(
        (
            "KL(before ‖ now) on held-out rehearsal rows, nats per token",
            [(at, label, curve.divergence) for at, label, curve in curves],
        )
    )
    plots = []
    for title, lines in asked:
        drawn = [(_series(at, len(reports)), label, False, points) for at, label, points in lines]
        if (plot := _step_plot(f"{title}, by step", drawn)) is not None:
            plots.append((title, plot))
    return plots


_Line = tuple[int, str, bool, Sequence[tuple[int, float]]]
"""Series, label, whether it is dashed, and its points."""


def _step_plot(label: str, given: Sequence[_Line]) -> Plot | None:
    """Draw lines by step; None if no line has a finite point."""
    lines: list[_Line] = []
    for series, name, dashed, points in given:
        finite = [(step, value) for step, value in points if math.isfinite(value)]
        if finite:
            lines.append((series, name, dashed, _thinned(finite)))
    if not lines:
        return None
    x_ticks, right = _ticks(0.0, max(step for *_, points in lines for step, _ in points))
    y_ticks, top = _ticks(0.0, max(value for *_, points in lines for _, value in points))
    return Plot(
        label=label,
        x_title="step",
        x_ticks=[(_percent(tick, 0, right), f"{tick:g}") for tick in x_ticks],
        y_ticks=[(100 - _percent(tick, 0, top), f"{tick:g}") for tick in y_ticks],
        curves=[
            Curve(series, _path([(float(step), value) for step, value in points], (0, right), (0, top)), dashed)
            for series, _, dashed, points in lines
            if len(points) > 1
        ],
        marks=[
            Mark(series, _percent(points[0][0], 0, right), y=100 - _percent(points[0][1], 0, top), title=name)
            for series, name, _, points in lines
            if len(points) == 1
        ],
        legend=[(series, name, dashed) for series, name, dashed, _ in lines],
    )


def _metric_mark(metric: MetricResult, series: int, y: float, label: str) -> Mark:
    known = metric.low is not None and metric.high is not None
    return Mark(
        series=series,
        x=_percent(metric.value or 0.0, 0, 1),
        low=_percent(metric.low or 0.0, 0, 1) if known else None,
        high=_percent(metric.high or 0.0, 0, 1) if known else None,
        y=round(100 * y, 1),
        title=f"{label}: {metric.name} {value_text(metric.value, metric.unit)} "
        f"({interval_text(metric.low, metric.high, metric.unit)}) of {metric.n:,}",
    )


def _series(at: int, count: int) -> int:
    """Colour of a report: the first of several is quiet, a single one has the accent."""
    return 2 if count == 1 else at % _SERIES + 1


def _percent(value: float, low: float, high: float) -> float:
    return round(100 * max(0.0, min(1.0, (value - low) / ((high - low) or 1.0))), 2)


def _path(points: Sequence[tuple[float, float]], x: tuple[float, float], y: tuple[float, float]) -> str:
    return " ".join(f"{_percent(px, *x):g},{100 - _percent(py, *y):g}" for px, py in points)


def _steps(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The corners of a step function."""
    corners = []
    height = 0.0
    for x, y in points:
        corners += [(x, height), (x, y)]
        height = y
    return corners


def _thinned(points: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    step = max(1, -(-len(points) // _MAX_POINTS))
    kept = list(points[::step])
    return kept if kept[-1] == points[-1] else [*kept, points[-1]]


def _ticks(low: float, high: float) -> tuple[list[float], float]:
    """Round numbers from ``low`` to ``high``, at most six, and the end of the axis."""
    span = (high - low) or 1.0
    rough = span / 4
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in _STEPS if unit * factor >= rough)
    first = math.floor(low / step)
    last = math.ceil((low + span) / step - 1e-9)
    ticks = [round(step * at, 12) for at in range(first, last + 1)]
    return ticks, ticks[-1]
