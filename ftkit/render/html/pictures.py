"""Small inline drawings: where a number lies, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence

from ftkit.render.markup import Markup
from ftkit.results.metric_result import MetricChange, MetricResult

__all__ = ["change_bar", "change_reach", "metric_bar", "two_values"]

WIDTH, HEIGHT, EDGE = 160, 18, 6


def metric_bar(metric: MetricResult) -> Markup | None:
    """A rate from 0 to 100 % as a dot, its interval as a band."""
    if metric.unit != "rate" or metric.value is None:
        return None
    band = ""
    if metric.low is not None and metric.high is not None:
        band = _band(_at(metric.low), _at(metric.high))
    return _drawing(f'{_track()}{band}<circle class="dot" cx="{_at(metric.value)}" cy="{HEIGHT / 2}" r="4"/>')


def two_values(change: MetricChange) -> Markup | None:
    """Two rates from 0 to 100 %: a ring for before, a dot for after."""
    if change.unit != "rate" or change.before is None or change.after is None:
        return None
    one, two, middle = _at(change.before), _at(change.after), HEIGHT / 2
    line = f'<line class="link" x1="{one}" y1="{middle}" x2="{two}" y2="{middle}"/>'
    ring = f'<circle class="ring" cx="{one}" cy="{middle}" r="4"/>'
    dot = f'<circle class="dot" cx="{two}" cy="{middle}" r="4"/>'
    return _drawing(f"{_track()}{line}{ring}{dot}")


def change_reach(changes: Sequence[MetricChange]) -> float:
    """How far the scale of :func:`change_bar` goes to either side, so that all metrics share one."""
    ends = [abs(end) for item in changes if item.unit == "rate" for end in (item.low, item.high) if end is not None]
    return max([*ends, 0.05])


def change_bar(change: MetricChange, reach: float, margin: float | None) -> Markup | None:
    """The change of a rate around the line of no change; dashed: the loss that the margin allows."""
    if change.unit != "rate" or change.difference is None or change.low is None or change.high is None:
        return None

    def at(value: float) -> float:
        return _at((value / reach + 1) / 2)

    good = change.difference if change.higher_is_better else -change.difference
    side = "flat" if abs(good) < 1e-9 else "up" if good > 0 else "down"
    zero = f'<line class="zero" x1="{at(0)}" y1="1" x2="{at(0)}" y2="{HEIGHT - 1}"/>'
    limit = ""
    if margin is not None and margin <= reach:
        place = at(-margin if change.higher_is_better else margin)
        limit = f'<line class="margin" x1="{place}" y1="1" x2="{place}" y2="{HEIGHT - 1}"/>'
    dot = f'<circle class="dot {side}" cx="{at(change.difference)}" cy="{HEIGHT / 2}" r="4"/>'
    return _drawing(f"{_track()}{zero}{limit}{_band(at(change.low), at(change.high), side)}{dot}")


def _at(share: float) -> float:
    return round(EDGE + max(0.0, min(1.0, share)) * (WIDTH - 2 * EDGE), 2)


def _track() -> str:
    return f'<line class="track" x1="{EDGE}" y1="{HEIGHT / 2}" x2="{WIDTH - EDGE}" y2="{HEIGHT / 2}"/>'


def _band(low: float, high: float, side: str = "") -> str:
    width = round(max(high - low, 1.0), 2)
    return f'<rect class="band {side}" x="{low}" y="{HEIGHT / 2 - 3}" width="{width}" height="6" rx="3"/>'


def _drawing(inside: str) -> Markup:
    # The table beside it says the same in numbers, so it is hidden from screen readers.
    return Markup(
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" aria-hidden="true">{inside}</svg>'
    )
