"""The losses of the run that made a model, for its report."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from ftkit.evaluation.provenance import run_that_made

__all__ = ["TrainingCurve", "training_curve"]

_MOST = 400  # points of a curve


class TrainingCurve(BaseModel):
    """Loss by step."""

    model_config = ConfigDict(frozen=True)

    run: str
    losses: tuple[tuple[int, float], ...]
    validation: tuple[tuple[int, float], ...]


def training_curve(name: str) -> TrainingCurve | None:
    """The curve of the run that made the model of that name; ``None`` when the store knows no such run."""
    run = run_that_made(name)
    if run is None:
        return None
    validation = [event.data for event in run.events() if event.kind == "validation"]
    losses = _points(run.metrics)
    step = max(1, len(losses) // _MOST)
    kept = losses[::step] if not losses or losses[-1] == losses[::step][-1] else [*losses[::step], losses[-1]]
    return TrainingCurve(run=run.id, losses=tuple(kept), validation=tuple(_points(validation)))


def _points(found: list[dict[str, Any]]) -> list[tuple[int, float]]:
    return [(int(one["step"]), float(one["loss"])) for one in found if one.get("loss") is not None]
