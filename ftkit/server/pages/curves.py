"""Curves of reward, loss and token accuracy: coordinates for the SVG that the page draws."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Curves", "job_curves"]

_WIDTH, _LEFT, _RIGHT, _BOTTOM, _TOP = 720, 46, 712, 22, 10
_MAX_POINTS = 600

_Points = list[tuple[int, float]]

_CHARTS = (
    ("Reward", "reward", "train_mean_reward", "full_valid_mean_reward", 240),
    ("Loss", "loss", "train_loss", "valid_loss", 240),
    ("Token accuracy", "token accuracy", "train_mean_token_accuracy", "valid_mean_token_accuracy", 150),
)
"""Title, name of the metric, its keys in training and validation, height in pixels."""


@dataclass(frozen=True, slots=True)
class Curves:
    """One chart. Coordinates are in pixels.

    Attributes:
        title: Heading.
        metric: What is drawn.
        label: First and last values, for screen readers.
        height: Height of the chart.
        last_step: Step at the right end.
        grid: y of the horizontal lines.
        ticks: Text and y of the labels of the vertical axis.
        lines: ``training`` and ``validation``, each with its points as SVG writes them.
    """

    title: str
    metric: str
    label: str
    height: int
    last_step: int
    grid: list[float]
    ticks: list[tuple[str, float]]
    lines: list[tuple[str, str]]
    width: int = _WIDTH
    left: int = _LEFT
    right: int = _RIGHT


def job_curves(metrics: Sequence[dict[str, Any]]) -> list[Curves]:
    """Lay out the charts of a job.

    Args:
        metrics: The job's metrics, one mapping per step.

    Returns:
        The charts with at least two training steps.
    """
    charts = []
    for title, name, training_key, validation_key, height in _CHARTS:
        training, validation = _points(metrics, training_key), _points(metrics, validation_key)
        if len(training) >= 2:
            charts.append(_curves(title, name, training, validation, metrics[-1]["total_steps"], height))
    return charts


def _curves(title: str, name: str, training: _Points, validation: _Points, last_step: int, height: int) -> Curves:
    values = [value for _, value in training + validation]
    low, high = min(values), max(values)

    def xy(step: int, value: float) -> tuple[float, float]:
        x = _LEFT + (_RIGHT - _LEFT) * step / last_step
        y = _TOP + (height - _TOP - _BOTTOM) * (high - value) / ((high - low) or 1.0)
        return round(x, 1), round(y, 1)

    (first_step, first), (final_step, final) = training[0], training[-1]
    label = f"training {name} {first:.3f} at step {first_step}, {final:.3f} at step {final_step}"
    lines = [("training", _polyline(training, xy))]
    if validation:
        label += f"; validation {name} {validation[0][1]:.3f}, then {validation[-1][1]:.3f}"
        lines.append(("validation", _polyline(validation, xy)))
    return Curves(
        title=title,
        metric=name,
        label=label,
        height=height,
        last_step=last_step,
        grid=[xy(0, high)[1], xy(0, low)[1]],
        ticks=[(f"{value:.3g}", xy(0, value)[1] + 4) for value in dict.fromkeys((high, low))],
        lines=lines,
    )


def _points(metrics: Sequence[dict[str, Any]], key: str) -> _Points:
    points = [(step["step"], float(step[key])) for step in metrics if step.get(key) is not None]
    every = -(-len(points) // _MAX_POINTS) or 1
    return points[::every] + ([points[-1]] if points and (len(points) - 1) % every else [])


def _polyline(points: _Points, xy: Callable[[int, float], tuple[float, float]]) -> str:
    return " ".join(f"{x},{y}" for x, y in (xy(step, value) for step, value in points))
