"""Estimate a training run before its weights are loaded: parameters, memory, tokens, steps and seconds."""

from __future__ import annotations

from ftkit.counts import counted
from ftkit.modeling.model_shape import ModelShape
from ftkit.recipe import Recipe
from ftkit.results.plan import Estimate
from ftkit.training.estimation.generation_time import generation_seconds, rollout_seconds
from ftkit.training.estimation.memory_model import compute_precision, estimate_memory, trainable_parameters
from ftkit.training.estimation.plan_target import PlanTarget
from ftkit.training.estimation.preserve_time import preserve_seconds
from ftkit.training.estimation.time_model import no_grad_seconds, step_seconds
from ftkit.training.estimation.workload import Workload

__all__ = ["estimate"]


def estimate(recipe: Recipe, shape: ModelShape, work: Workload, target: PlanTarget, *, shared: bool = True) -> Estimate:
    """Estimate the memory and time of a run from its workload.

    Args:
        recipe: the resolved recipe, without ``"auto"``.
        shape: shape of the base model; of its scoring form for reward models.
        work: the workload.
        target: the machine.
        shared: whether rows share computation.

    Returns:
        The estimate, in bytes and seconds.

    Raises:
        ModelError: ``target_modules`` names layers that the model does not have.
    """
    notes = []
    if work.sampled_rows < work.rows:
        notes.append(f"tokens counted on {work.sampled_rows:,} of {counted(work.rows, 'row')}")
    speed = target.speed(compute_precision(recipe), (*shape.linears, shape.head))
    if speed.basis == "data sheet":
        notes.append(f"seconds are based on the data sheet of the {target.name} and assumed shares of its speed")
    if speed.basis == "measured on a busy machine":
        notes.append("speed was measured while the machine did other work; a run without it is faster")
    if work.generations:
        graded = "; the time of the grader and of prompts that dynamic_sampling samples again is not included"
        notes.append(
            "answers count as long as max_output_tokens allows, and all as trained on"
            + (graded if recipe.grading is not None else "")
        )
    if recipe.local_models():
        notes.append(f"memory and time of {' and '.join(recipe.local_models())}, which the run asks, are not included")
    memory = estimate_memory(shape, recipe, work, device=target.device, shared=shared, process=target.process)
    total = recipe.total_steps(work.rows)
    each = step_seconds(shape, recipe, work.steps, speed, shared=shared)
    validation, reference, comparisons = (
        no_grad_seconds(shape, recipe, packs, speed, shared=shared)
        for packs in (work.validation_packs, work.reference_packs, work.comparison_packs)
    )
    each += comparisons / max(1, len(work.steps))
    evaluation = validation + generation_seconds(shape, recipe, [work.validation_generation], speed)
    share = work.rows / work.sampled_rows
    before = share * reference + generation_seconds(shape, recipe, [work.probe_generation], speed)
    added, look, setup = preserve_seconds(shape, recipe, work, speed, shared=shared)
    each, before = each + added, before + setup
    evaluations = _validations(recipe, total)
    if work.generations:
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
        drawn_tokens_per_epoch=round(sum(each.total_tokens for each in work.generations) * share),
        steps=total,
        seconds_per_step=each,
        seconds=total * each + evaluations * (work.validation_scale * evaluation + look) + before,
        notes=tuple(notes),
    )


def _validations(recipe: Recipe, total: int) -> int:
    """Number of evaluations: before the first step, every ``eval_steps``, and after the last step."""
    every = int(recipe.eval_steps)
    return 1 + total // every + (1 if total % every else 0)
