"""Tables and curves of the metrics of runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ftkit.counts import counted
from ftkit.render.table import Column, Table
from ftkit.render.templates import render_fragment, render_page
from ftkit.results.metric_table import MetricCurves, MetricLine, MetricTable, is_number

__all__ = [
    "curves_notebook",
    "curves_page",
    "curves_svg",
    "curves_text",
    "metrics_csv",
    "metrics_markdown",
    "metrics_notebook",
    "metrics_page",
    "metrics_text",
]

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 720, 240, 56, 708, 12, 214
_COLOURS = ("#2563eb", "#d97706", "#059669", "#db2777", "#7c3aed", "#475569")
_BARS = "▁▂▃▄▅▆▇█"
_SPARK_WIDTH = 48
_MAX_ROWS = 40
"""Rows of a table of metrics that are printed; files have all of them."""


@dataclass(frozen=True, slots=True)
class _Shape:
    """A line of a plot as SVG draws it."""

    label: str
    colour: str
    dash: str
    points: str
    last: str
    dot: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class _Panel:
    """One plot: its size, axes and lines in pixels."""

    title: str
    description: str
    shapes: list[_Shape]
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    width: int = _WIDTH
    height: int = _HEIGHT
    left: int = _LEFT
    right: int = _RIGHT
    top: int = _TOP
    bottom: int = _BOTTOM


def curves_svg(curves: MetricCurves) -> str:
    """Draw curves as one SVG image, a plot for each metric below the other.

    Args:
        curves: The curves.

    Returns:
        SVG.
    """
    panels = _panels(curves)
    return render_fragment("curves_image", panels=panels, width=_WIDTH, height=(_HEIGHT + 36) * max(1, len(panels)))


def curves_notebook(curves: MetricCurves) -> str:
    """Draw curves for a notebook.

    Args:
        curves: The curves.

    Returns:
        HTML with inline SVG.
    """
    return render_fragment("curves", panels=_panels(curves), table=None)


def curves_page(curves: MetricCurves) -> str:
    """Draw curves as a page.

    Args:
        curves: The curves.

    Returns:
        HTML.
    """
    return render_page("curves_page", "Metrics by step", panels=_panels(curves), table=None)


def curves_text(curves: MetricCurves) -> str:
    """Draw each line with block characters, for a terminal.

    Args:
        curves: The curves.

    Returns:
        One line of text for each line: its label, first value, shape and last value.
    """
    if not curves.lines:
        return "no metrics yet"
    rows = [
        [line.metric, line.label, f"{line.points[0][1]:.4g}", _spark(line), f"{line.points[-1][1]:.4g}", _range(line)]
        for line in curves.lines
    ]
    columns: list[str | Column] = [
        "metric",
        "of",
        Column("first", "right"),
        "by step",
        Column("last", "right"),
        "range",
    ]
    return "\n".join(Table(columns, rows).lines())


def metrics_text(table: MetricTable) -> str:
    """Write a table of metrics as plain text; of a long one, rows at equal distances.

    Args:
        table: The table.

    Returns:
        The text.
    """
    if not table:
        return "no metrics yet"
    shown, note = _shown(table)
    return "\n".join([*_table(table, shown).lines(), *([note] if note else [])])


def metrics_markdown(table: MetricTable) -> str:
    """Write a table of metrics as Markdown, with every row.

    Args:
        table: The table.

    Returns:
        Markdown.
    """
    return _table(table, table).markdown() + "\n"


def metrics_csv(table: MetricTable) -> str:
    """Write a table of metrics as CSV.

    Args:
        table: The table.

    Returns:
        CSV.
    """
    return table.csv()


def metrics_notebook(table: MetricTable) -> str:
    """Draw the metrics of a run for a notebook: curves, and the table.

    Args:
        table: The table.

    Returns:
        HTML with inline SVG.
    """
    shown, _ = _shown(table)
    panels = _panels(table.plot()) if "step" in table.columns else []
    return render_fragment("curves", panels=panels, table=_table(table, shown))


def metrics_page(table: MetricTable) -> str:
    """Draw the metrics of a run as a page.

    Args:
        table: The table.

    Returns:
        HTML.
    """
    panels = _panels(table.plot()) if "step" in table.columns else []
    return render_page("curves_page", "Metrics by step", panels=panels, table=_table(table, table))


def _table(table: MetricTable, rows: Sequence[dict[str, Any]]) -> Table:
    names = [name for name in table.columns if not all(isinstance(row.get(name), dict | None) for row in table)]
    columns = [Column(name, "right" if any(is_number(row.get(name)) for row in table) else "left") for name in names]
    return Table(columns, [[_cell(row.get(name)) for name in names] for row in rows])


def _shown(table: MetricTable) -> tuple[list[dict[str, Any]], str]:
    """The rows to print, and a sentence on those that are left out."""
    if len(table) <= _MAX_ROWS:
        return list(table), ""
    step = -(-len(table) // _MAX_ROWS)
    kept = [row for at, row in enumerate(table) if at % step == 0 or at == len(table) - 1]
    return kept, f'{len(kept)} of {counted(len(table), "row")}; save("metrics.csv") writes all of them'


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(value)


def _spark(line: MetricLine) -> str:
    values = [value for _, value in line.points]
    if len(values) > _SPARK_WIDTH:
        size = len(values) / _SPARK_WIDTH
        parts = [values[int(at * size) : int((at + 1) * size)] for at in range(_SPARK_WIDTH)]
        values = [sum(part) / len(part) for part in parts]
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    return "".join(_BARS[min(len(_BARS) - 1, int((value - low) / span * len(_BARS)))] for value in values)


def _range(line: MetricLine) -> str:
    values = [value for _, value in line.points]
    return f"{min(values):.4g} to {max(values):.4g}, steps {line.points[0][0]:g} to {line.points[-1][0]:g}"


def _panels(curves: MetricCurves) -> list[_Panel]:
    return [_panel(metric, [line for line in curves.lines if line.metric == metric]) for metric in curves.metrics]


def _panel(metric: str, lines: Sequence[MetricLine]) -> _Panel:
    steps = [step for line in lines for step, _ in line.points]
    values = [value for line in lines for _, value in line.points]
    y_ticks = _ticks(min(values), max(values))
    x_ticks = [tick for tick in _ticks(min(steps), max(steps)) if tick == round(tick) or max(steps) < 2]
    left, right, low, high = min(steps), max(steps), min(*y_ticks, *values), max(*y_ticks, *values)

    def place(step: float, value: float) -> tuple[float, float]:
        x = _LEFT + (_RIGHT - _LEFT) * (step - left) / ((right - left) or 1.0)
        y = _BOTTOM - (_BOTTOM - _TOP) * (value - low) / ((high - low) or 1.0)
        return round(x, 1), round(y, 1)

    shapes = []
    for line in lines:
        placed = [place(*point) for point in line.points]
        colour = _COLOURS[(line.run * 2 if len(lines) <= 2 else line.run) % len(_COLOURS)]
        if line.validation and len(lines) <= 2:
            colour = _COLOURS[1]
        shapes.append(
            _Shape(
                label=line.label,
                colour=colour,
                dash="5 3" if line.validation else "none",
                points=" ".join(f"{x},{y}" for x, y in placed),
                last=f"{line.points[-1][1]:.4g}",
                dot=placed[0] if len(placed) == 1 else None,
            )
        )
    said = "; ".join(f"{line.label} {line.points[0][1]:.4g} to {line.points[-1][1]:.4g}" for line in lines)
    return _Panel(
        title=metric.replace("_", " "),
        description=f"{metric} by step: {said}",
        shapes=shapes,
        x_ticks=[(place(tick, low)[0], f"{tick:g}") for tick in x_ticks if left <= tick <= right],
        y_ticks=[(place(left, tick)[1], f"{tick:.4g}") for tick in y_ticks],
    )


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers that enclose a range, about five."""
    span = (high - low) or abs(high) or 1.0
    unit = 10.0 ** math.floor(math.log10(span / 4))
    step = next(unit * factor for factor in (1.0, 2.0, 2.5, 5.0, 10.0) if unit * factor >= span / 4)
    first = math.floor(low / step)
    return [round(step * at, 12) for at in range(first, math.ceil(high / step - 1e-9) + 1)] or [low]
