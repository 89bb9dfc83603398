"""Predict the seconds that generation takes, in the terms of :mod:`ftkit.training.estimation.time_model`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ftkit.modeling.model_shape import ModelShape
from ftkit.recipe import Full, Recipe
from ftkit.training.estimation.memory_model import merged_weight_count
from ftkit.training.estimation.time_model import (
    MachineSpeed,
    forward_seconds,
    head_seconds,
    layer_seconds,
    no_grad_seconds,
)
from ftkit.training.estimation.workload import GenerationWorkload, PackSize, Workload

__all__ = ["generation_seconds", "rollout_seconds"]

_DIVERGENCE_STEPS = 10
"""Steps between two measurements of the divergence if ``beta`` is 0; see :mod:`ftkit.training.rollouts`."""

_LOGPROB_BYTES = 30
"""Bytes moved per logit for a token's log-probability: a copy, the division by the temperature, the sum."""


def rollout_seconds(shape: ModelShape, recipe: Any, work: Workload, speed: MachineSpeed, *, shared: bool) -> float:
    """Predict the seconds per step that rollouts take.

    These are the generation, the log-probabilities under the reference model, and those under the current model if
    several steps use the same answers, or another engine samples them.

    Args:
        shape: shape of the model.
        recipe: the resolved recipe.
        work: the workload.
        speed: speed of the machine.
        shared: whether rows share computation.

    Returns:
        Mean seconds per optimiser step.
    """
    generation = generation_seconds(shape, recipe, work.generations, speed) / len(work.generations)
    packs = [pack for step in work.steps for pack in step]
    once = no_grad_seconds(shape, recipe, packs, speed, shared=shared) / len(work.steps)
    iterations = getattr(recipe, "num_iterations", 1)
    sampled_elsewhere = recipe.sampled_by is not None and not recipe.sampled_by.samples_with_trainer
    old = once if iterations > 1 or sampled_elsewhere else 0.0
    # The divergence is measured on new answers only, and every few steps if it is not in the loss.
    reference = once if recipe.beta else once / _DIVERGENCE_STEPS
    return float((generation + old + reference) / iterations)


def generation_seconds(
    shape: ModelShape, recipe: Recipe, generations: Sequence[GenerationWorkload | None], speed: MachineSpeed
) -> float:
    """Predict the seconds that generations take.

    Args:
        shape: shape of the model.
        recipe: the resolved recipe.
        generations: the generations; None entries take no time.
        speed: speed of the machine.

    Returns:
        Seconds.
    """
    return sum(_one_generation_seconds(shape, recipe, each, speed) for each in generations if each is not None)


def _one_generation_seconds(
    shape: ModelShape, recipe: Recipe, generation: GenerationWorkload, speed: MachineSpeed
) -> float:
    seconds, merged = 0.0, merged_weight_count(shape, recipe)
    if merged:
        # B·A is formed, scaled and added to the weight.
        seconds += 2 * recipe.adapter.inner_width * merged / speed.low_rank + 6 * 4 * merged / speed.bytes_moved
        recipe = recipe.model_copy(update={"adapter": Full()})  # merged: no adapter remains
    common = generation.common_prefix
    if common:
        seconds += _prefill_seconds(shape, recipe, PackSize(common, 1, common * (common + 1) // 2), speed)
    for rows, prompts, width in generation.batches:
        visible = prompts * (width * common + width * (width + 1) // 2)
        seconds += _prefill_seconds(shape, recipe, PackSize(prompts * width, prompts, visible), speed)
        mean = common + width + generation.tokens / 2
        seconds += (generation.tokens - 1) * _decode_seconds(shape, recipe, rows, mean, speed)
        logits = generation.tokens * rows * shape.outputs
        seconds += logits / speed.sampling + logits * _LOGPROB_BYTES / speed.bytes_moved
    return seconds


def _prefill_seconds(shape: ModelShape, recipe: Recipe, pack: PackSize, speed: MachineSpeed) -> float:
    return forward_seconds(shape, recipe, pack, speed) + head_seconds(shape, recipe, pack, speed, 2, shared=True)


def _decode_seconds(shape: ModelShape, recipe: Recipe, rows: int, length: float, speed: MachineSpeed) -> float:
    """One decoding step for ``rows`` answers that attend to ``length`` tokens each."""
    rate = speed.weights(rows)
    layer = layer_seconds(shape, recipe, PackSize(rows, rows, round(rows * length)), speed)
    return shape.layers * (sum(linear.weights for linear in shape.linears) / rate + layer) + shape.head.weights / rate
