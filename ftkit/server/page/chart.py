"""Curves of losses, and of rewards, as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ftkit.markup import Markup, element

__all__ = ["curves"]

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 720, 240, 46, 22, 10
_MOST_POINTS = 600

Points = list[tuple[int, float]]


def curves(metrics: Sequence[dict[str, Any]]) -> Markup | None:
    """Training and validation loss over the steps of a job, or mean rewards; ``None`` before there are two steps."""
    rewarded = any("train_mean_reward" in one for one in metrics)
    what = "reward" if rewarded else "loss"
    training = _points(metrics, "train_mean_reward" if rewarded else "train_loss")
    validation = _points(metrics, "full_valid_mean_reward" if rewarded else "valid_loss")
    if len(training) < 2:
        return None
    losses = [loss for _, loss in training + validation]
    low, high = min(losses), max(losses)
    last = metrics[-1]["total_steps"]

    def place(step: int, loss: float) -> tuple[float, float]:
        across = _LEFT + (_WIDTH - _LEFT - 8) * step / last
        down = _TOP + (_HEIGHT - _TOP - _BOTTOM) * (high - loss) / ((high - low) or 1.0)
        return round(across, 1), round(down, 1)

    ground = place(0, low)[1]
    (begin, first), (end, last_one) = training[0], training[-1]
    said = f"training {what} {first:.3f} at step {begin}, {last_one:.3f} at step {end}"
    if validation:
        said += f"; validation {what} {validation[0][1]:.3f}, then {validation[-1][1]:.3f}"
    parts = [
        element("line", x1=str(_LEFT), x2=str(_WIDTH - 8), y1=str(y), y2=str(y), class_="grid")
        for y in (place(0, high)[1], ground)
    ]
    parts += [
        element("text", f"{loss:.3g}", x=str(_LEFT - 6), y=str(place(0, loss)[1] + 4), class_="tick end")
        for loss in dict.fromkeys((high, low))
    ]
    parts += [
        element("text", "0", x=str(_LEFT), y=str(_HEIGHT - 4), class_="tick"),
        element("text", f"step {last}", x=str(_WIDTH - 8), y=str(_HEIGHT - 4), class_="tick end"),
        _line(training, place, "training"),
    ]
    if validation:
        parts.append(_line(validation, place, "validation"))
    drawn = element("svg", *parts, viewBox=f"0 0 {_WIDTH} {_HEIGHT}", role="img", aria_label=said)
    legend = [element("span", f"training {what}", class_="key training")]
    legend += [element("span", f"validation {what}", class_="key validation")] if validation else []
    return element("figure", drawn, element("figcaption", *legend))


def _points(metrics: Sequence[dict[str, Any]], name: str) -> Points:
    found = [(one["step"], float(one[name])) for one in metrics if one.get(name) is not None]
    step = -(-len(found) // _MOST_POINTS) or 1
    return found[::step] + ([found[-1]] if found and (len(found) - 1) % step else [])


def _line(points: Points, place: Any, kind: str) -> Markup:
    path = " ".join(f"{x},{y}" for x, y in (place(*one) for one in points))
    return element("polyline", points=path, class_=f"curve {kind}")
