"""Curves of loss, token accuracy and reward as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ftkit.render.markup import Markup, element

__all__ = ["charts"]

_WIDTH, _LEFT, _BOTTOM, _TOP = 720, 46, 22, 10
_MOST_POINTS = 600

Points = list[tuple[int, float]]


_CHARTS = (
    ("Reward", "reward", "train_mean_reward", "full_valid_mean_reward", 240),
    ("Loss", "loss", "train_loss", "valid_loss", 240),
    ("Token accuracy", "token accuracy", "train_mean_token_accuracy", "valid_mean_token_accuracy", 150),
)
"""Title, what the values are called, their names in training and validation, height."""


def charts(metrics: Sequence[dict[str, Any]]) -> list[tuple[str, Markup]]:
    """What changed over the steps of a job, each with its title; those of which there are two steps or more."""
    drawn = (
        (title, _curves(name, _points(metrics, training), _points(metrics, validation), metrics, height=height))
        for title, name, training, validation, height in _CHARTS
    )
    return [(title, chart) for title, chart in drawn if chart is not None]


def _curves(
    name: str, training: Points, validation: Points, metrics: Sequence[dict[str, Any]], *, height: int
) -> Markup | None:
    if len(training) < 2:
        return None
    values = [value for _, value in training + validation]
    low, high = min(values), max(values)
    last = metrics[-1]["total_steps"]

    def place(step: int, value: float) -> tuple[float, float]:
        across = _LEFT + (_WIDTH - _LEFT - 8) * step / last
        down = _TOP + (height - _TOP - _BOTTOM) * (high - value) / ((high - low) or 1.0)
        return round(across, 1), round(down, 1)

    ground = place(0, low)[1]
    (first, began), (final, ended) = training[0], training[-1]
    said = f"training {name} {began:.3f} at step {first}, {ended:.3f} at step {final}"
    if validation:
        said += f"; validation {name} {validation[0][1]:.3f}, then {validation[-1][1]:.3f}"
    parts = [
        element("line", x1=str(_LEFT), x2=str(_WIDTH - 8), y1=str(y), y2=str(y), class_="grid")
        for y in (place(0, high)[1], ground)
    ]
    parts += [
        element("text", f"{value:.3g}", x=str(_LEFT - 6), y=str(place(0, value)[1] + 4), class_="tick end")
        for value in dict.fromkeys((high, low))
    ]
    parts += [
        element("text", "0", x=str(_LEFT), y=str(height - 4), class_="tick"),
        element("text", f"step {last}", x=str(_WIDTH - 8), y=str(height - 4), class_="tick end"),
        _line(training, place, "training"),
    ]
    if validation:
        parts.append(_line(validation, place, "validation"))
    drawn = element("svg", *parts, viewBox=f"0 0 {_WIDTH} {height}", role="img", aria_label=said)
    legend = [element("span", f"training {name}", class_="key training")]
    legend += [element("span", f"validation {name}", class_="key validation")] if validation else []
    return element("figure", drawn, element("figcaption", *legend))


def _points(metrics: Sequence[dict[str, Any]], name: str) -> Points:
    found = [(one["step"], float(one[name])) for one in metrics if one.get(name) is not None]
    step = -(-len(found) // _MOST_POINTS) or 1
    return found[::step] + ([found[-1]] if found and (len(found) - 1) % step else [])


def _line(points: Points, place: Any, kind: str) -> Markup:
    path = " ".join(f"{x},{y}" for x, y in (place(*one) for one in points))
    return element("polyline", points=path, class_=f"curve {kind}")
