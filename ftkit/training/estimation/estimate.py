"""Estimate a training run before its weights are loaded: parameters, memory, tokens, steps and seconds."""

from __future__ import annotations

from ftkit.counts import counted
from ftkit.modeling.model_shape import ModelShape
from ftkit.recipe import Recipe
from ftkit.results.plan import Estimate, Memory
from ftkit.training.estimation.communication import WorkerLayout, gathering_seconds, step_traffic
from ftkit.training.estimation.generation_time import generation_seconds, rollout_seconds
from ftkit.training.estimation.memory_model import compute_precision, estimate_memory, held_bytes
from ftkit.training.estimation.plan_target import PlanTarget
from ftkit.training.estimation.preserve_time import preserve_seconds
from ftkit.training.estimation.time_model import no_grad_seconds, step_seconds
from ftkit.training.estimation.trained_part import trainable_parameters
from ftkit.training.estimation.worker_estimate import layout_notes, worker_estimate
from ftkit.training.estimation.workload import Workload

__all__ = ["estimate"]

ONE_WORKER = WorkerLayout()


def estimate(
    recipe: Recipe,
    shape: ModelShape,
    work: Workload,
    target: PlanTarget,
    *,
    shared: bool = True,
    layout: WorkerLayout = ONE_WORKER,
    share: Workload | None = None,
) -> Estimate:
    """Estimate the memory and time of a run from its workload.

    Args:
        recipe: the resolved recipe, without ``"auto"``.
        shape: shape of the base model; of its scoring form for reward models.
        work: the workload.
        target: the machine.
        shared: whether rows share computation.
        layout: the workers that train together.
        share: what the worker with the most tokens computes of ``work``; by default all of it.

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
    if recipe.sampled_by is not None:
        notes += recipe.sampled_by.plan_notes(target.device)
    if recipe.local_models():
        notes.append(f"memory and time of {' and '.join(recipe.local_models())}, which the run asks, are not included")
    own, shards = share or work, layout.shards

    def memory_of(planned: Recipe) -> Memory:
        return estimate_memory(
            shape, planned, own, device=target.device, shared=shared, process=target.process, shards=shards
        )

    memory = memory_of(recipe)
    if recipe.adapter.unquantized is not None:
        plain = memory_of(recipe.model_copy(update={"adapter": recipe.adapter.unquantized}))
        if plain.peak < target.memory:
            notes.append(
                "the run would fit without 4-bit weights, too: adapter=ft.LoRA() avoids what quantisation costs in "
                "quality, which is most for small models"
            )
    total = recipe.total_steps(work.rows)
    split = shards if recipe.adapter.trains_base_weights else 1
    computed = each = step_seconds(shape, recipe, own.steps, speed, shared=shared, shards=split)
    held = held_bytes(shape, recipe)
    frozen = None if recipe.adapter.trains_base_weights else held
    trained = trainable_parameters(shape, recipe)
    traffic = step_traffic(shape, trained, own.steps, layout, frozen) if layout.count > 1 else None
    if traffic is not None:
        each = traffic.with_compute(each)
    validation, reference, comparisons = (
        max(no_grad_seconds(shape, recipe, packs, speed, shared=shared), gathering_seconds(held[0], len(packs), layout))
        for packs in (own.validation_packs, own.reference_packs, own.comparison_packs)
    )
    each += comparisons / max(1, len(work.steps))
    evaluation = validation + generation_seconds(shape, recipe, [work.validation_generation], speed)
    sampled = work.rows / work.sampled_rows
    before = sampled * reference + generation_seconds(shape, recipe, [work.probe_generation], speed)
    added, look, setup = preserve_seconds(shape, recipe, work, speed, shared=shared)
    each, before = each + added, before + setup
    evaluations = _validations(recipe, total)
    notes += layout_notes(layout, int(recipe.batch_size))
    if work.generations:
        each += rollout_seconds(shape, recipe, work, speed, shared=shared)
    return Estimate(
        recipe=recipe.model_dump(mode="json"),
        device=target.name,
        parameters=shape.parameters,
        trainable_parameters=trained,
        memory=memory,
        device_memory=target.memory,
        fits=memory.peak < target.memory,
        tokens_per_epoch=round(work.tokens * sampled),
        computed_tokens_per_epoch=round(sum(pack.tokens for step in work.steps for pack in step) * sampled),
        drawn_tokens_per_epoch=round(sum(each.total_tokens for each in work.generations) * sampled),
        steps=total,
        seconds_per_step=each,
        seconds_per_epoch=total / int(recipe.epochs) * each,
        seconds=total * each + evaluations * (work.validation_scale * evaluation + look) + before,
        workers=worker_estimate(layout, traffic, computed) if layout.count > 1 else None,
        notes=tuple(notes),
    )


def _validations(recipe: Recipe, total: int) -> int:
    """Number of evaluations: before the first step, every ``eval_steps``, and after the last step."""
    every = int(recipe.eval_steps)
    return 1 + total // every + (1 if total % every else 0)
