"""A training job: from a recipe and rows to an artefact."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ftkit.data import Dataset
from ftkit.files import canonical_digest
from ftkit.graders import GraderContext
from ftkit.modeling.device import bf16_is_fast, default_device, describe_machine
from ftkit.modeling.pretrained import load_pretrained
from ftkit.recipe import RFT, Recipe, RecipeFacts
from ftkit.training.adapter_modes import Before
from ftkit.training.adapters.adapted_model import adapt
from ftkit.training.artifact import EpochModels, save_artefact
from ftkit.training.checkpoint import Checkpoints
from ftkit.training.dataloader import TokenRows, render_rows
from ftkit.training.diagnostics import rate_warning
from ftkit.training.loop import Emit, Loop
from ftkit.training.losses import loss_of
from ftkit.training.recipe_check import check_recipe
from ftkit.training.rollouts import Rollouts
from ftkit.training.sample_log import SAMPLES, KeptSamples

__all__ = ["Job", "facts", "train"]


@dataclass(frozen=True, slots=True)
class Job:
    """What to train.

    Attributes:
        recipe: as the user wrote it; ``"auto"`` values are resolved here.
        data: training rows.
        validation: rows whose loss is watched, if any.
        model: name of the base model, see :func:`ftkit.modeling.pretrained.find_source`.
        output: folder for the result.
        record: what else goes into the result's ``ftkit.json``: run id, fingerprints.
        epoch_models: how many of the last epochs' models are kept besides the result.
    """

    recipe: Recipe
    data: Dataset
    validation: Dataset | None
    model: str
    output: Path
    record: dict[str, Any] = field(default_factory=dict)
    epoch_models: int = 0

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints, beside the result. A job that finds some there goes on from them."""
        return self.output.with_name(f"{self.output.name}-checkpoints")

    @property
    def epochs(self) -> EpochModels:
        """The models at the ends of epochs, beside the result."""
        return EpochModels(self.output.with_name("epochs"), self.epoch_models)

    def digest(self, template_hash: str) -> str:
        """What a checkpoint must agree with to be gone on from: recipe, rows, model and chat template."""
        rows = [self.data.fingerprint, None if self.validation is None else self.validation.fingerprint]
        return canonical_digest(json.dumps([self.recipe.fingerprint, *rows, self.model, template_hash]))


def facts(rows: int) -> RecipeFacts:
    """What this machine knows for resolving a recipe."""
    where = default_device()
    return RecipeFacts(rows=rows, fast_bf16=bf16_is_fast(where), device="cuda" if where.type == "cuda" else "cpu")


def train(
    job: Job, emit: Emit, should_stop: Callable[[], bool] = lambda: False, setting: GraderContext | None = None
) -> dict[str, Any]:
    """Train and save to ``job.output``.

    Args:
        emit: told of everything that happens.
        should_stop: asked before each step.
        setting: what a grader may use; by default no other model and no foreign code.

    Returns:
        A summary: steps, tokens, final losses, seconds.

    Raises:
        Stopped: ``should_stop`` said so; a checkpoint is kept, and the same job goes on from it.
        TrainingError: the loss is not finite, or part of the model never changes.
        DataError, ModelError, RefusedError: see there.
    """
    where = default_device()
    emit("log", {"message": "loading the model", "model": job.model})
    source = check_recipe(job.recipe, job.model, job.data, job.validation)
    recipe = job.recipe.resolve(facts(len(job.data)))
    loss = loss_of(recipe)
    warning = rate_warning(recipe)
    if warning is not None:
        emit("warning", {"message": warning})
    pretrained = load_pretrained(
        source,
        precision="bf16" if recipe.precision == "bf16" else "fp32",
        device=where,
        quantisation=recipe.adapter.quantization,
        scores=recipe.score_head,
    )
    limit = recipe.max_length or pretrained.max_length

    def rendered(data: Dataset) -> TokenRows:
        return render_rows(data, pretrained.chat_template, loss, limit, reserve=recipe.reserved_tokens)

    rows = rendered(job.data)
    held_out = None if job.validation is None else rendered(job.validation)
    total = recipe.total_steps(len(rows.rows))
    adapted = adapt(
        pretrained.model,
        recipe.adapter,
        total_steps=total,
        seed=recipe.seed,
        initial_weights=source.adapter,
        scores=recipe.score_head,
    )
    checkpoints = Checkpoints(
        job.checkpoints, job.digest(pretrained.chat_template.template_hash), recipe.save_total_limit
    )

    def keep(step: int, epoch: int) -> bool:
        progress = {"step": step, "epoch": epoch}
        return job.epochs.keep(
            step, lambda folder: save_artefact(folder, pretrained, adapted, recipe, {**job.record, **progress})
        )

    rollouts = None
    if isinstance(recipe, RFT):
        fresh = source.adapter is None and not recipe.adapter.trains_base_weights
        rollouts = Rollouts(
            recipe,
            pretrained,
            adapted,
            job.data,
            rows,
            None if job.validation is None or held_out is None else (job.validation, held_out),
            setting or GraderContext(),
            Before(adapted, fresh=fresh),
            KeptSamples(job.output.with_name(SAMPLES)),
        )
    loop = Loop(recipe, loss, adapted, where, rows, held_out, emit, should_stop, total, checkpoints, keep, rollouts)
    emit(
        "log",
        {
            "message": "training",
            "recipe": recipe.model_dump(mode="json"),
            "steps": total,
            "rows": len(rows.rows),
            "tokens": rows.tokens,
            "supervised_tokens": rows.supervised,
            "longest_row": rows.longest,
            "trainable_parameters": sum(p.numel() for p in adapted.parameters.values()),
            **describe_machine(where),
            **loop.utilisation.about(),
        },
    )
    summary = loop.run()
    save_artefact(job.output, pretrained, adapted, recipe, {**job.record, "summary": summary})
    checkpoints.clear()
    return summary
