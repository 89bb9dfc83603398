"""Charts as plotly figures in plain data. ``var(--x)`` stands for a colour of the page's style, by day or by night."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ftkit.evaluation.pareto import ParetoPoint
from ftkit.results.metric_result import MetricResult
from ftkit.results.number_format import usd_text, value_text
from ftkit.results.report import Report

__all__ = [
    "Chart",
    "Figure",
    "latency_chart",
    "loss_chart",
    "metric_chart",
    "plane_chart",
]

MOST = 24  # metrics in one chart
_POINTS = 120  # of a latency curve
_SYMBOLS = ("circle-open", "circle", "diamond", "square", "triangle-up", "cross")

Figure = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Chart:
    """A figure for the macro ``chart``.

    Attributes:
        figure: The plotly figure.
        label: What it shows, for screen readers.
    """

    figure: Figure
    label: str

    @property
    def data(self) -> str:
        """The figure as JSON that cannot end the script element that holds it."""
        return json.dumps(self.figure, ensure_ascii=True, allow_nan=False).replace("<", "\\u003c")

    @property
    def height(self) -> int:
        """Height in pixels."""
        return int(self.figure["layout"]["height"])


def metric_chart(sides: Sequence[tuple[str, Sequence[MetricResult]]]) -> Figure | None:
    """Rates of one or several reports as dots with their intervals, one line a metric."""
    shared = [metric.name for metric in sides[0][1] if metric.unit == "rate" and metric.value is not None]
    names = [name for name in shared if not name.startswith(("precision:", "recall:"))][:MOST]
    if not names:
        return None
    traces = []
    for at, (label, metrics) in enumerate(sides):
        known = {metric.name: metric for metric in metrics}
        found = [(name, known[name]) for name in names if name in known and known[name].value is not None]
        traces.append(_dots(label, at, len(sides), names, found))
    layout = _layout(height=60 + (22 + 8 * (len(sides) - 1)) * len(names), legend=len(sides) > 1)
    layout["xaxis"] |= {"range": [-0.02, 1.02], "tickformat": ".0%"}
    layout["yaxis"] |= {
        "tickvals": list(range(len(names))),
        "ticktext": names,
        "range": [len(names) - 0.4, -0.6],
        "showgrid": False,
    }
    return {"data": traces, "layout": layout}


def _dots(
    label: str, at: int, of: int, names: Sequence[str], found: Sequence[tuple[str, MetricResult]]
) -> dict[str, Any]:
    shift = 0.0 if of == 1 else (at / (of - 1) - 0.5) * 0.44
    values = [metric.value or 0.0 for _, metric in found]
    lows = [value if metric.low is None else metric.low for value, (_, metric) in zip(values, found, strict=True)]
    highs = [value if metric.high is None else metric.high for value, (_, metric) in zip(values, found, strict=True)]
    colour = "var(--accent)" if of == 1 else f"var(--series-{at % 6 + 1})"
    return {
        "type": "scatter",
        "mode": "markers",
        "name": label,
        "x": values,
        "y": [names.index(name) + shift for name, _ in found],
        "customdata": [[name, metric.n] for name, metric in found],
        "hovertemplate": "%{customdata[0]}: %{x:.1%} of %{customdata[1]}<extra>%{fullData.name}</extra>",
        "marker": {"color": colour, "size": 9, "symbol": "circle" if of == 1 else _SYMBOLS[at % 6]},
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [high - value for high, value in zip(highs, values, strict=True)],
            "arrayminus": [value - low for low, value in zip(lows, values, strict=True)],
            "color": colour,
            "thickness": 1.5,
            "width": 4,
        },
    }


def latency_chart(reports: Sequence[tuple[str, Report]]) -> Figure | None:
    """Share of answers that were there after so many seconds."""
    traces = []
    for at, (label, report) in enumerate(reports):
        found = sorted(
            answer.latency_s for row in report.rows for answer in row.answers if answer.finish_reason != "error"
        )
        if not found:
            continue
        step = max(1, len(found) // _POINTS)
        kept = [*range(0, len(found), step), len(found) - 1]
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": label,
                "x": [round(found[index], 4) for index in kept],
                "y": [(index + 1) / len(found) for index in kept],
                "line": {"color": f"var(--series-{at % 6 + 1})", "width": 2, "shape": "hv"},
                "hovertemplate": "%{y:.0%} within %{x:.2f} s<extra>%{fullData.name}</extra>",
            }
        )
    if not traces:
        return None
    layout = _layout(height=260, legend=len(traces) > 1)
    layout["xaxis"] |= {"title": {"text": "seconds"}, "rangemode": "tozero"}
    layout["yaxis"] |= {"tickformat": ".0%", "range": [0, 1.03]}
    return {"data": traces, "layout": layout}


def plane_chart(places: Sequence[ParetoPoint], metric: MetricResult, dear: str) -> Figure | None:
    """Quality against what it costs, with the front of those that no other beats in both."""
    if len(places) < 2:
        return None
    best = sorted((place for place in places if place.on_front), key=lambda place: place.price)
    traces: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": "Pareto front",
            "x": [place.price for place in best],
            "y": [place.value for place in best],
            "line": {"color": "var(--quiet)", "dash": "dot", "width": 1.5},
            "hoverinfo": "skip",
        }
    ]
    for at, place in enumerate(places):
        colour = f"var(--series-{at % 6 + 1})"
        price = usd_text(place.price) if "$" in dear else f"{place.price:.3g}"
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": place.label,
                "x": [place.price],
                "y": [place.value],
                "marker": {"size": 12, "color": colour, "symbol": _SYMBOLS[at % 6]},
                "error_y": {
                    "type": "data",
                    "symmetric": False,
                    "array": [place.high - place.value],
                    "arrayminus": [place.value - place.low],
                    "color": colour,
                    "thickness": 1.5,
                },
                "hovertemplate": f"{price}, {value_text(place.value, metric.unit)}<extra>%{{fullData.name}}</extra>",
            }
        )
    layout = _layout(height=340, legend=True)
    layout["xaxis"] |= {"title": {"text": dear}, "rangemode": "tozero"}
    layout["yaxis"] |= {"title": {"text": metric.name}, "tickformat": ".0%" if metric.unit == "rate" else ""}
    return {"data": traces, "layout": layout}


def loss_chart(curves: Sequence[tuple[str, Report]]) -> Figure | None:
    """Loss while the models were trained."""
    traces = []
    for at, (label, report) in enumerate(curves):
        if report.training is None:
            continue
        colour = f"var(--series-{at % 6 + 1})"
        for name, points, dash in (
            ("training", report.training.losses, "solid"),
            ("validation", report.training.validation, "dash"),
        ):
            if points:
                traces.append(
                    {
                        "type": "scatter",
                        "mode": "lines" if len(points) > 1 else "markers",
                        "name": f"{label}, {name}",
                        "x": [step for step, _ in points],
                        "y": [loss for _, loss in points],
                        "line": {"color": colour, "dash": dash, "width": 2},
                        "hovertemplate": "step %{x}: %{y:.4f}<extra>%{fullData.name}</extra>",
                    }
                )
    if not traces:
        return None
    layout = _layout(height=280, legend=True)
    layout["xaxis"] |= {"title": {"text": "step"}}
    layout["yaxis"] |= {"title": {"text": "loss"}, "rangemode": "tozero"}
    return {"data": traces, "layout": layout}


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
