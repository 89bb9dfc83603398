"""What a run will take: parameters, memory, tokens, steps and seconds, before any weights are loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from ftkit.engine.duration import forward_seconds, step_seconds
from ftkit.engine.memory import Memory, memory_of, trainable_parameters
from ftkit.engine.shape import Shape, shape_of
from ftkit.engine.work import Step, look_of, steps_of
from ftkit.errors import FtkitError, RefusedError
from ftkit.recipe import Recipe

if TYPE_CHECKING:
    from ftkit.engine.rows import TokenRows
    from ftkit.engine.target import Target

__all__ = ["Estimate", "estimate", "estimate_run", "predicted"]


class Estimate(BaseModel):
    """What one place would need for one run."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    recipe: dict[str, Any]
    """The recipe with a number in the place of every ``"auto"``."""
    device: str
    """What it would run on."""
    parameters: int
    """All parameters of the base model."""
    trainable_parameters: int
    """Those that change."""
    memory: Memory
    """Bytes, by what they are for."""
    device_memory: int
    """Bytes that the device has."""
    fits: bool
    """Whether the peak is below that."""
    tokens_per_epoch: int
    """Tokens of all rows."""
    computed_tokens_per_epoch: int
    """Tokens that are computed, shared beginnings once a pass."""
    steps: int
    """Optimiser steps of the whole run."""
    seconds_per_step: float
    """Mean over the steps, the machine free for it."""
    seconds: float
    """Of the whole run, looks at the validation loss included; loading and saving are not."""
    notes: tuple[str, ...] = ()
    """What the numbers rest on, where it is not the machine itself."""


def estimate(
    recipe: Recipe,
    shape: Shape,
    steps: Sequence[Step],
    *,
    rows: int,
    tokens_per_epoch: int,
    target: Target,
    longest: int = 0,
    validation: Step = (),
    of_validation: float = 1.0,
    notes: tuple[str, ...] = (),
) -> Estimate:
    """The formula, from the steps of one epoch or of part of it.

    Args:
        recipe: resolved, without ``"auto"``.
        shape: of the base model.
        steps: packs of the epoch's steps, or of some of them.
        rows: training rows.
        tokens_per_epoch: tokens of all of them.
        target: where the run would take place.
        longest: tokens of the longest sequence.
        validation: packs of one look at the validation loss, or of part of it.
        of_validation: how many times as many there are.
        notes: to be kept with the result.

    Raises:
        RefusedError: a method whose steps are not known here.
    """
    if recipe.kind != "sft":
        raise RefusedError(f"what a step of {recipe.kind!r} takes is not known", backend="local", fields=("kind",))
    shared = shape.window is None or shape.window >= longest
    if not shared:
        notes = (*notes, f"rows are computed one by one: attention slides over {shape.window} tokens")
    precision = "bf16" if recipe.precision == "bf16" and recipe.adapter.kind != "full" else "fp32"
    speed = target.speed("bf16" if precision == "bf16" else "fp32")
    if speed.basis == "data sheet":
        notes = (*notes, f"seconds rest on the data sheet of the {target.name} and assumed shares of it")
    memory = memory_of(shape, recipe, steps, device=target.device, shared=shared, process=target.process)
    total = recipe.total_steps(rows)
    each = step_seconds(shape, recipe, steps, speed, shared=shared)
    look = sum(forward_seconds(shape, recipe, pack, speed, shared=shared) for pack in validation)
    epoch_steps = -(-rows // int(recipe.batch_size))
    return Estimate(
        recipe=recipe.model_dump(mode="json"),
        device=target.name,
        parameters=shape.parameters,
        trainable_parameters=trainable_parameters(shape, recipe),
        memory=memory,
        device_memory=target.memory,
        fits=memory.peak < target.memory,
        tokens_per_epoch=tokens_per_epoch,
        computed_tokens_per_epoch=round(sum(pack.tokens for step in steps for pack in step) * epoch_steps / len(steps)),
        steps=total,
        seconds_per_step=each,
        seconds=total * each + _looks(recipe, total) * of_validation * look,
        notes=notes,
    )


def estimate_run(
    recipe: Recipe,
    config: Mapping[str, Any],
    rows: TokenRows,
    target: Target,
    *,
    of_rows: int | None = None,
    held_out: TokenRows | None = None,
    of_held_out: int | None = None,
) -> Estimate:
    """What training on ``rows`` will take.

    Args:
        recipe: resolved, without ``"auto"``.
        config: the base model's config, e.g. ``model.config.to_dict()``.
        rows: the rendered training rows, or a sample of them.
        target: where; :func:`ftkit.engine.target.this_machine` for here.
        of_rows: how many training rows there are, when ``rows`` is a sample.
        held_out: the rendered validation rows, or a sample of them.
        of_held_out: how many there are, when it is a sample.

    Raises:
        ModelError: a model whose layers are not known, see :func:`ftkit.engine.shape.shape_of`.
        RefusedError: a method whose steps are not known here.
    """
    shape = shape_of(config)
    longest = max(rows.longest, held_out.longest if held_out else 0)
    shared = shape.window is None or shape.window >= longest
    whole, count = of_rows or len(rows.rows), len(rows.rows)
    notes = () if count == whole else (f"tokens counted on {count:,} of {whole:,} rows",)
    return estimate(
        recipe,
        shape,
        steps_of(rows, recipe, shared=shared),
        rows=whole,
        tokens_per_epoch=round(rows.tokens * whole / count),
        target=target,
        longest=longest,
        validation=look_of(held_out, recipe, shared=shared) if held_out else (),
        of_validation=of_held_out / len(held_out.rows) if held_out and of_held_out else 1.0,
        notes=notes,
    )


def predicted(recipe: Recipe, config: Mapping[str, Any], rows: TokenRows, target: Target) -> dict[str, Any]:
    """The prediction as data of a ``log`` event; never raises what :func:`estimate_run` does, but says it."""
    try:
        found = estimate_run(recipe, config, rows, target)
    except FtkitError as error:
        return {"message": "not predicted", "reason": str(error)}
    return {
        "message": "predicted",
        "predicted_peak_bytes": found.memory.peak,
        "predicted_seconds_per_step": round(found.seconds_per_step, 4),
    }


def _looks(recipe: Recipe, total: int) -> int:
    """Looks at the validation loss: before the first step, every ``eval_steps``, after the last."""
    every = int(recipe.eval_steps)
    return 1 + total // every + (1 if total % every else 0)
