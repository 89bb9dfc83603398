"""What a run will take: parameters, memory, tokens, steps and seconds, before any weights are loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftkit.modeling.model_shape import ModelShape
from ftkit.recipe import RFT, Recipe
from ftkit.results.plan import Estimate
from ftkit.training.estimation.generation_time import drawings_seconds, rollout_seconds
from ftkit.training.estimation.memory_model import compute_precision, memory_of, trainable_parameters
from ftkit.training.estimation.time_model import passes_seconds, step_seconds
from ftkit.training.estimation.workload import Work

if TYPE_CHECKING:
    from ftkit.training.estimation.plan_target import Target

__all__ = ["estimate"]


def estimate(recipe: Recipe, shape: ModelShape, work: Work, target: Target, *, shared: bool = True) -> Estimate:
    """The formula.

    Args:
        recipe: resolved, without ``"auto"``.
        shape: of the base model; of its scoring form for reward models.
        work: what is computed.
        target: where the run would take place.
        shared: whether rows share computation.

    Raises:
        ModelError: ``target_modules`` names layers that the model has not.
    """
    notes = []
    if work.counted < work.rows:
        notes.append(f"tokens counted on {work.counted:,} of {work.rows:,} rows")
    if not shared:
        notes.append(f"rows are computed one by one: attention slides over {shape.window} tokens")
    speed = target.speed(compute_precision(recipe), (*shape.linears, shape.head))
    if speed.basis == "data sheet":
        notes.append(f"seconds rest on the data sheet of the {target.name} and assumed shares of it")
    if speed.basis == "measured on a busy machine":
        notes.append("seconds were measured while the machine did other work; without it a run is quicker")
    if work.draws:
        notes.append(
            "answers are counted as long as max_output_tokens allows, and all as learned from; the grader's own time, "
            "and prompts that dynamic_sampling draws again, are not in it"
        )
    memory = memory_of(shape, recipe, work, device=target.device, shared=shared, process=target.process)
    total = recipe.total_steps(work.rows)
    each = step_seconds(shape, recipe, work.steps, speed, shared=shared)
    look, reference = (
        passes_seconds(shape, recipe, packs, speed, shared=shared) for packs in (work.look, work.reference)
    )
    looking = look + drawings_seconds(shape, recipe, [work.answered], speed)
    share = work.rows / work.counted
    before = share * reference + drawings_seconds(shape, recipe, [work.probe], speed)
    if isinstance(recipe, RFT):
        each += rollout_seconds(shape, recipe, work, speed, shared=shared)
    return Estimate(
        recipe=recipe.model_dump(mode="json"),
        device=target.name,
        parameters=shape.parameters,
        trainable_parameters=trainable_parameters(shape, recipe),
        memory=memory,
        device_memory=target.memory,
        fits=memory.peak < target.memory,
        tokens_per_epoch=round(work.tokens * share),
        computed_tokens_per_epoch=round(sum(pack.tokens for step in work.steps for pack in step) * share),
        drawn_tokens_per_epoch=round(sum(one.drawn for one in work.draws) * share),
        steps=total,
        seconds_per_step=each,
        seconds=total * each + _looks(recipe, total) * work.looked * looking + before,
        notes=tuple(notes),
    )


def _looks(recipe: Recipe, total: int) -> int:
    """Looks at the validation loss: before the first step, every ``eval_steps``, after the last."""
    every = int(recipe.eval_steps)
    return 1 + total // every + (1 if total % every else 0)
