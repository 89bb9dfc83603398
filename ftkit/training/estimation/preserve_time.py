"""What ``preserve`` adds to a run: the time of rehearsal and of its measurements.

The rehearsal rows are not tokenised for an estimate. A prompt counts as :data:`PROMPT_TOKENS` long, and an answer as
long as ``max_output_tokens`` allows.
"""

from __future__ import annotations

from ftkit.inference.limits import MAX_BATCH_SIZE
from ftkit.modeling.model_shape import ModelShape
from ftkit.recipe import Recipe
from ftkit.training.estimation.generation_time import generation_seconds
from ftkit.training.estimation.time_model import MachineSpeed, no_grad_seconds, step_seconds
from ftkit.training.estimation.workload import GenerationBatch, GenerationWorkload, PackSize, Workload

__all__ = ["PROMPT_TOKENS", "preserve_seconds"]

PROMPT_TOKENS = 40
"""Tokens of a rehearsal prompt: the mean of ``rehearsal.jsonl`` in SmolLM2's chat template."""


def preserve_seconds(
    shape: ModelShape, recipe: Recipe, work: Workload, speed: MachineSpeed, *, shared: bool
) -> tuple[float, float, float]:
    """Predict the seconds that a recipe's ``preserve`` adds.

    Args:
        shape: shape of the model.
        recipe: the resolved recipe.
        work: the workload of the run without it.
        speed: speed of the machine.
        shared: whether rows share computation.

    Returns:
        Seconds for each step, for each evaluation, and before the first step; all 0 without ``preserve``.
    """
    preserve = recipe.preserve
    if preserve is None:
        return 0.0, 0.0, 0.0
    per_step = preserve.share * int(recipe.batch_size)
    wanted = int(min(preserve.max_rows, per_step * recipe.total_steps(work.rows)))
    each = 0.0
    idle = step_seconds(shape, recipe, [()], speed, shared=shared)
    if preserve.kl_on != "task" or preserve.sft:
        rehearsed = _pack(per_step, preserve.max_output_tokens)
        each += step_seconds(shape, recipe, [(rehearsed,)], speed, shared=shared) - idle
    if preserve.kl_on != "rehearsal":  # the prompts once more, with the adapter and without
        packs = [pack for step in work.steps for pack in step]
        each += step_seconds(shape, recipe, work.steps, speed, shared=shared) - idle
        each += no_grad_seconds(shape, recipe, packs, speed, shared=shared) / len(work.steps)
    held_out = _pack(preserve.held_out, preserve.max_output_tokens)
    look = no_grad_seconds(shape, recipe, [held_out], speed, shared=shared)
    rows = wanted + preserve.held_out
    sizes = [min(MAX_BATCH_SIZE, rows - start) for start in range(0, rows, MAX_BATCH_SIZE)]
    answers = GenerationWorkload(
        0, preserve.max_output_tokens, tuple(GenerationBatch(size, size, PROMPT_TOKENS) for size in sizes)
    )
    before = generation_seconds(shape, recipe, [answers], speed)
    before += no_grad_seconds(shape, recipe, [_pack(rows, preserve.max_output_tokens)], speed, shared=shared)
    return each, look, before


def _pack(rows: float, answer: int) -> PackSize:
    """The pass of some rehearsal rows."""
    length = PROMPT_TOKENS + answer
    return PackSize(round(rows * length), round(rows * answer), round(rows * length * (length + 1) / 2))
