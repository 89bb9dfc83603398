"""Small drawings inside tables: where a value lies between 0 and 100 %, and how sure that is. Coordinates in pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ftkit.results.metric_result import MetricChange, MetricResult

__all__ = ["Drawing", "change_drawing", "change_scale", "metric_drawing", "value_drawing"]

WIDTH, HEIGHT, _EDGE = 160, 18, 6


@dataclass(frozen=True, slots=True)
class Drawing:
    """Shapes on a horizontal axis, drawn by the macro ``drawing``. Numbers are x coordinates.

    Attributes:
        dot: A filled circle.
        ring: An empty circle.
        band: Left and right end of a bar: an interval.
        link: Both ends of a line.
        zero: A vertical line: no change.
        margin: A dashed vertical line: the largest acceptable loss.
        direction: CSS class of dot and band: ``up``, ``down`` or ``flat``.
    """

    dot: float
    ring: float | None = None
    band: tuple[float, float] | None = None
    link: tuple[float, float] | None = None
    zero: float | None = None
    margin: float | None = None
    direction: str = ""


def metric_drawing(metric: MetricResult) -> Drawing | None:
    """Draw a rate as a dot and its interval as a band.

    Args:
        metric: The metric.

    Returns:
        The drawing; None for other units and metrics without a value.
    """
    if metric.unit != "rate" or metric.value is None:
        return None
    known = metric.low is not None and metric.high is not None
    return Drawing(dot=_x(metric.value), band=(_x(metric.low or 0.0), _x(metric.high or 0.0)) if known else None)


def value_drawing(change: MetricChange) -> Drawing | None:
    """Draw two rates: a ring for before and a dot for after.

    Args:
        change: The change of a metric.

    Returns:
        The drawing; None for other units and metrics without a value.
    """
    if change.unit != "rate" or change.before is None or change.after is None:
        return None
    before, after = _x(change.before), _x(change.after)
    return Drawing(dot=after, ring=before, link=(before, after))


def change_scale(changes: Sequence[MetricChange]) -> float:
    """Choose one scale for the drawings of all changes.

    Args:
        changes: The changes.

    Returns:
        The largest change that the scale shows, as a share (0.05 is five points) and never below 0.05.
    """
    ends = [abs(end) for item in changes if item.unit == "rate" for end in (item.low, item.high) if end is not None]
    return max([*ends, 0.05])


def change_drawing(change: MetricChange, scale: float, margin: float | None) -> Drawing | None:
    """Draw the change of a rate and its interval around the line of no change.

    Args:
        change: The change.
        scale: The largest change that the drawing shows.
        margin: The largest acceptable loss, drawn as a dashed line.

    Returns:
        The drawing; None for other units and changes without an interval.
    """
    if change.unit != "rate" or change.difference is None or change.low is None or change.high is None:
        return None

    def x(value: float) -> float:
        return _x((value / scale + 1) / 2)

    gain = change.difference if change.higher_is_better else -change.difference
    limit = None if margin is None or margin > scale else x(-margin if change.higher_is_better else margin)
    return Drawing(
        dot=x(change.difference),
        band=(x(change.low), x(change.high)),
        zero=x(0),
        margin=limit,
        direction="flat" if abs(gain) < 1e-9 else "up" if gain > 0 else "down",
    )


def _x(share: float) -> float:
    return round(_EDGE + max(0.0, min(1.0, share)) * (WIDTH - 2 * _EDGE), 2)
