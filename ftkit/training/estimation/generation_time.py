"""Predict the seconds that generation takes, in the terms of :mod:`ftkit.training.estimation.time_model`."""

from __future__ import annotations

from collections.abc import Sequence

from ftkit.modeling.model_shape import ModelShape
from ftkit.recipe import RFT, Full, Recipe
from ftkit.training.estimation.memory_model import merged_weights
from ftkit.training.estimation.time_model import Speed, head_seconds, layer_seconds, layers_forward, passes_seconds
from ftkit.training.estimation.workload import Drawing, PackSize, Work

__all__ = ["drawings_seconds", "rollout_seconds"]

_MEASURED = 10
"""Steps between two measurements of the divergence when ``beta`` is 0; see :mod:`ftkit.training.rollouts`."""

_LOG_BYTES = 30
"""Moved for each logit to know the token's log-probability: copied, divided by the temperature, summed up."""


def rollout_seconds(shape: ModelShape, recipe: RFT, work: Work, speed: Speed, *, shared: bool) -> float:
    """Mean seconds that a step spends on its answers: drawing them, and their log-probabilities without gradients under
    the model of before, and of now where several steps are made of them."""
    drawing = drawings_seconds(shape, recipe, work.draws, speed) / len(work.draws)
    packs = [pack for step in work.steps for pack in step]
    once = passes_seconds(shape, recipe, packs, speed, shared=shared) / len(work.steps)
    old = once if recipe.num_iterations > 1 else 0.0
    # Counted by steps; steps on answers that are there already look at nothing.
    reference = once if recipe.beta else once / _MEASURED
    return (drawing + old + reference) / recipe.num_iterations


def drawings_seconds(shape: ModelShape, recipe: Recipe, drawings: Sequence[Drawing | None], speed: Speed) -> float:
    """Seconds of drawing all of ``drawings``."""
    return sum(_drawing_seconds(shape, recipe, one, speed) for one in drawings if one is not None)


def _drawing_seconds(shape: ModelShape, recipe: Recipe, drawing: Drawing, speed: Speed) -> float:
    seconds, merged = 0.0, merged_weights(shape, recipe)
    if merged:
        # B·A is formed, scaled and added to the weight.
        seconds += 2 * recipe.adapter.inner_width * merged / speed.thin + 6 * 4 * merged / speed.bytes_moved
        recipe = recipe.model_copy(update={"adapter": Full()})  # as if there were none
    common = drawing.common
    if common:
        seconds += _prompts_seconds(shape, recipe, PackSize(common, 1, common * (common + 1) // 2), speed)
    for rows, prompts, width in drawing.batches:
        visible = prompts * (width * common + width * (width + 1) // 2)
        seconds += _prompts_seconds(shape, recipe, PackSize(prompts * width, prompts, visible), speed)
        mean = common + width + drawing.tokens / 2
        seconds += (drawing.tokens - 1) * _token_seconds(shape, recipe, rows, mean, speed)
        logits = drawing.tokens * rows * shape.outputs
        seconds += logits / speed.choice + logits * _LOG_BYTES / speed.bytes_moved
    return seconds


def _prompts_seconds(shape: ModelShape, recipe: Recipe, pack: PackSize, speed: Speed) -> float:
    return layers_forward(shape, recipe, pack, speed) + head_seconds(shape, recipe, pack, speed, 2, shared=True)


def _token_seconds(shape: ModelShape, recipe: Recipe, rows: int, length: float, speed: Speed) -> float:
    """One token more for each of ``rows`` answers, which see ``length`` tokens each."""
    rate = speed.weights(rows)
    layer = layer_seconds(shape, recipe, PackSize(rows, rows, round(rows * length)), speed)
    return shape.layers * (sum(one.weights for one in shape.linears) / rate + layer) + shape.head.weights / rate
