"""Charts as plotly figures in plain data. ``var(--x)`` stands for a colour of the page's style sheet.

plotly reads texts as a small part of HTML, so names are escaped.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from ftkit.evaluation.pareto import ParetoPoint
from ftkit.results.metric_result import MetricResult
from ftkit.results.number_format import usd_text, value_text
from ftkit.results.report import Report

__all__ = ["Chart", "latency_chart", "loss_chart", "metric_chart", "pareto_chart"]

_MAX_METRICS = 24
_MAX_LATENCY_POINTS = 120
_SYMBOLS = ("circle-open", "circle", "diamond", "square", "triangle-up", "cross")


@dataclass(frozen=True, slots=True)
class Chart:
    """A figure for the macro ``chart``.

    Attributes:
        traces: The plotly traces.
        layout: The plotly layout.
        label: What the chart shows, for screen readers.
    """

    traces: list[dict[str, Any]]
    layout: dict[str, Any]
    label: str

    @property
    def data(self) -> str:
        """The figure as JSON that cannot end the script element that holds it."""
        figure = {"data": self.traces, "layout": self.layout}
        return json.dumps(figure, ensure_ascii=True, allow_nan=False).replace("<", "\\u003c")

    @property
    def height(self) -> int:
        """Height in pixels."""
        return int(self.layout["height"])


def metric_chart(reports: Sequence[tuple[str, Sequence[MetricResult]]], label: str) -> Chart | None:
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
    traces = []
    for at, (name, metrics) in enumerate(reports):
        values = {metric.name: metric for metric in metrics if metric.value is not None}
        traces.append(_dots(name, at, len(reports), names, [values[each] for each in names if each in values]))
    layout = _layout(height=60 + (22 + 8 * (len(reports) - 1)) * len(names), legend=len(reports) > 1)
    layout["xaxis"] |= {"range": [-0.02, 1.02], "tickformat": ".0%"}
    layout["yaxis"] |= {
        "tickvals": list(range(len(names))),
        "ticktext": [escape(name, quote=False) for name in names],
        "range": [len(names) - 0.4, -0.6],
        "showgrid": False,
    }
    return Chart(traces, layout, label)


def latency_chart(reports: Sequence[tuple[str, Report]]) -> Chart | None:
    """Draw the share of answers that took at most so many seconds.

    Args:
        reports: Label and report of each.

    Returns:
        The chart; None if nothing was answered.
    """
    traces = []
    for at, (label, report) in enumerate(reports):
        latencies = sorted(
            answer.latency_s for row in report.rows for answer in row.answers if answer.finish_reason != "error"
        )
        if not latencies:
            continue
        step = max(1, len(latencies) // _MAX_LATENCY_POINTS)
        indices = [*range(0, len(latencies), step), len(latencies) - 1]
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": escape(label, quote=False),
                "x": [round(latencies[index], 4) for index in indices],
                "y": [(index + 1) / len(latencies) for index in indices],
                "line": {"color": _colour(at), "width": 2, "shape": "hv"},
                "hovertemplate": "%{y:.0%} within %{x:.2f} s<extra>%{fullData.name}</extra>",
            }
        )
    if not traces:
        return None
    layout = _layout(height=260, legend=len(traces) > 1)
    layout["xaxis"] |= {"title": {"text": "seconds"}, "rangemode": "tozero"}
    layout["yaxis"] |= {"tickformat": ".0%", "range": [0, 1.03]}
    return Chart(traces, layout, "share of answers by latency")


def pareto_chart(points: Sequence[ParetoPoint], metric: MetricResult, price: str) -> Chart | None:
    """Draw quality against price, with the Pareto front.

    Args:
        points: The reports in the plane of price and quality.
        metric: Metric of the vertical axis.
        price: Title of the horizontal axis.

    Returns:
        The chart; None for fewer than two points.
    """
    if len(points) < 2:
        return None
    front = sorted((point for point in points if point.on_front), key=lambda point: point.price)
    traces: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": "Pareto front",
            "x": [point.price for point in front],
            "y": [point.value for point in front],
            "line": {"color": "var(--quiet)", "dash": "dot", "width": 1.5},
            "hoverinfo": "skip",
        }
    ]
    for at, point in enumerate(points):
        price_text = usd_text(point.price) if "$" in price else f"{point.price:.3g}"
        hover = f"{price_text}, {value_text(point.value, metric.unit)}"
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": escape(point.label, quote=False),
                "x": [point.price],
                "y": [point.value],
                "marker": {"size": 12, "color": _colour(at), "symbol": _SYMBOLS[at % 6]},
                "error_y": _error_bars([point.value], [point.low], [point.high], _colour(at)),
                "hovertemplate": f"{hover}<extra>%{{fullData.name}}</extra>",
            }
        )
    layout = _layout(height=340, legend=True)
    layout["xaxis"] |= {"title": {"text": price}, "rangemode": "tozero"}
    layout["yaxis"] |= {"title": {"text": metric.name}, "tickformat": ".0%" if metric.unit == "rate" else ""}
    return Chart(traces, layout, "quality against cost")


def loss_chart(reports: Sequence[tuple[str, Report]]) -> Chart | None:
    """Draw training and validation loss by step.

    Args:
        reports: Label and report of each.

    Returns:
        The chart; None if no report has a training curve.
    """
    traces = []
    for at, (label, report) in enumerate(reports):
        if report.training is None:
            continue
        for name, points, dash in (
            ("training", report.training.losses, "solid"),
            ("validation", report.training.validation, "dash"),
        ):
            if points:
                traces.append(
                    {
                        "type": "scatter",
                        "mode": "lines" if len(points) > 1 else "markers",
                        "name": escape(f"{label}, {name}", quote=False),
                        "x": [step for step, _ in points],
                        "y": [loss for _, loss in points],
                        "line": {"color": _colour(at), "dash": dash, "width": 2},
                        "hovertemplate": "step %{x}: %{y:.4f}<extra>%{fullData.name}</extra>",
                    }
                )
    if not traces:
        return None
    layout = _layout(height=280, legend=True)
    layout["xaxis"] |= {"title": {"text": "step"}}
    layout["yaxis"] |= {"title": {"text": "loss"}, "rangemode": "tozero"}
    return Chart(traces, layout, "loss by step")


def _dots(label: str, at: int, count: int, names: Sequence[str], metrics: Sequence[MetricResult]) -> dict[str, Any]:
    offset = 0.0 if count == 1 else (at / (count - 1) - 0.5) * 0.44
    values = [metric.value or 0.0 for metric in metrics]
    lows = [value if metric.low is None else metric.low for value, metric in zip(values, metrics, strict=True)]
    highs = [value if metric.high is None else metric.high for value, metric in zip(values, metrics, strict=True)]
    colour = "var(--accent)" if count == 1 else _colour(at)
    return {
        "type": "scatter",
        "mode": "markers",
        "name": escape(label, quote=False),
        "x": values,
        "y": [names.index(metric.name) + offset for metric in metrics],
        "customdata": [[escape(metric.name, quote=False), metric.n] for metric in metrics],
        "hovertemplate": "%{customdata[0]}: %{x:.1%} of %{customdata[1]}<extra>%{fullData.name}</extra>",
        "marker": {"color": colour, "size": 9, "symbol": "circle" if count == 1 else _SYMBOLS[at % 6]},
        "error_x": {**_error_bars(values, lows, highs, colour), "width": 4},
    }


def _error_bars(values: Sequence[float], lows: Sequence[float], highs: Sequence[float], colour: str) -> dict[str, Any]:
    return {
        "type": "data",
        "symmetric": False,
        "array": [high - value for high, value in zip(highs, values, strict=True)],
        "arrayminus": [value - low for low, value in zip(lows, values, strict=True)],
        "color": colour,
        "thickness": 1.5,
    }


def _colour(at: int) -> str:
    return f"var(--series-{at % 6 + 1})"


def _layout(*, height: int, legend: bool) -> dict[str, Any]:
    axis = {"gridcolor": "var(--line)", "zerolinecolor": "var(--line)", "automargin": True, "fixedrange": True}
    return {
        "height": height,
        "margin": {"l": 8, "r": 12, "t": 34 if legend else 8, "b": 8},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": "var(--text)", "family": "system-ui, sans-serif", "size": 12},
        "showlegend": legend,
        "legend": {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom", "bgcolor": "rgba(0,0,0,0)"},
        "hoverlabel": {"bgcolor": "var(--panel)", "bordercolor": "var(--line)", "font": {"color": "var(--text)"}},
        "xaxis": dict(axis),
        "yaxis": dict(axis),
    }
