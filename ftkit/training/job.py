"""A training job: from a recipe and rows to a model folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, Literal

import torch

from ftkit.data import Dataset
from ftkit.errors import ModelError
from ftkit.files import canonical_digest
from ftkit.graders import GraderContext
from ftkit.modeling.dequantize import is_quantized
from ftkit.modeling.device import bf16_is_fast, default_device, describe_machine
from ftkit.modeling.embedded_model import expand_embedded, is_embedded
from ftkit.modeling.model_shape import model_shape
from ftkit.modeling.pretrained import load_config, load_pretrained, quantized_files
from ftkit.modeling.quantized_files import quantization_text
from ftkit.recipe import ModelSize, Recipe, RecipeFacts
from ftkit.training.adapters.attach import adapt
from ftkit.training.artifact import EpochModels, save_artefact
from ftkit.training.checkpoint import Checkpoints
from ftkit.training.dataloader import TokenRows, render_rows
from ftkit.training.estimation.batch_tokens import fit_batch_tokens
from ftkit.training.estimation.plan_target import this_machine
from ftkit.training.example_source import Emit, ExampleSource, TrainingContext
from ftkit.training.loop import TrainingLoop
from ftkit.training.loss_computer import LossComputer
from ftkit.training.losses import loss_of
from ftkit.training.monitor import rate_warning
from ftkit.training.recipe_check import check_length, check_recipe
from ftkit.training.rehearsal_rows import open_rehearsal
from ftkit.training.sample_log import SAMPLES
from ftkit.training.strategies import check_sharding
from ftkit.training.weights import WholeWeights
from ftkit.training.worker_group import ALONE, WorkerGroup

__all__ = ["Job", "machine_facts", "train"]


@dataclass(frozen=True, slots=True)
class Job:
    """What to train.

    Attributes:
        recipe: as the user wrote it; ``"auto"`` values are resolved here.
        data: training rows.
        validation: rows to evaluate during training, if any.
        model: name of the base model, see :func:`ftkit.modeling.model_source.find_source`.
        output: folder for the result.
        record: more entries of the result's ``ftkit.json``: run id, fingerprints.
        epoch_models: how many of the last epochs' models are kept beside the result.
        rehearsal: the rows that ``recipe.preserve`` names; opened anew if left out.
        day: the day that a chat template with a date writes, from the start to the last resumption; None is today.
    """

    recipe: Recipe
    data: Dataset
    validation: Dataset | None
    model: str
    output: Path
    record: dict[str, Any] = field(default_factory=dict)
    epoch_models: int = 0
    rehearsal: Dataset | None = None
    day: date | None = None

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints, beside the result. A job that finds some there resumes from them."""
        return self.output.with_name(f"{self.output.name}-checkpoints")

    @property
    def epochs(self) -> EpochModels:
        """The models at the ends of epochs, beside the result."""
        return EpochModels(self.output.with_name("epochs"), self.epoch_models)

    def digest(self, template_hash: str, day: date | None = None) -> str:
        """Compute what a checkpoint must match to be resumed: recipe, rows, model and chat template.

        Args:
            template_hash: hash of the chat template.
            day: the day that the template writes, if it writes one.

        Returns:
            The digest.
        """
        rows = [self.data.fingerprint, None if self.validation is None else self.validation.fingerprint]
        if self.rehearsal is not None:
            rows.append(self.rehearsal.fingerprint)
        days = [] if day is None else [day.isoformat()]
        return canonical_digest(json.dumps([self.recipe.fingerprint, *rows, self.model, template_hash, *days]))


def _no_events(kind: str, data: dict[str, Any]) -> None:
    """What a worker does with events that the first one emits, too."""


def machine_facts(rows: int, config: Any) -> RecipeFacts:
    """Collect what ``"auto"`` values of a recipe depend on.

    Args:
        rows: training rows.
        config: the model's transformers config.

    Returns:
        The facts of this machine.
    """
    device = default_device()
    kind: Literal["cpu", "cuda"] = "cuda" if device.type == "cuda" else "cpu"
    return RecipeFacts(rows, bf16_is_fast(device), kind, ModelSize.of(config.to_dict()))


def _fitted(
    written: Recipe,
    recipe: Recipe,
    config: Any,
    rows: TokenRows,
    validation: TokenRows | None,
    device: torch.device,
    shards: int,
) -> Recipe:
    """``recipe`` with ``max_batch_tokens`` chosen by the GPU's memory where the user left that open."""
    if device.type != "cuda":
        return recipe
    try:
        shape = model_shape(config.get_text_config().to_dict(), scores=recipe.score_head)
        return fit_batch_tokens(
            written, recipe, shape, rows, validation, this_machine().beside_rollouts(recipe), shared=True, shards=shards
        )
    except ModelError:  # layers that the planner does not know, or adapters on some of the layers of a name
        return recipe


def _hold(
    model: Any, adapter: Sequence[torch.nn.Parameter], *, device: torch.device, workers: WorkerGroup
) -> WholeWeights:
    """How each worker holds a model with the parameters of an adapter in it, or all of whose weights are trained."""
    if not workers.shards:
        return WholeWeights(workers)
    # Not every build of torch has what it needs.
    shard = resolve_name("ftkit.training.sharded_weights:shard")
    held: WholeWeights = shard(model, device, workers, adapter)
    return held


def train(
    job: Job,
    emit: Emit,
    should_stop: Callable[[], bool] = lambda: False,
    setting: GraderContext | None = None,
    workers: WorkerGroup = ALONE,
) -> dict[str, Any]:
    """Train, and save the model to ``job.output``.

    Args:
        job: what to train.
        emit: called with every event.
        should_stop: asked before each step.
        setting: what a grader may use; by default no other model and no foreign code.
        workers: the workers that train together. Each calls this with the same job; the first one writes.

    Returns:
        A summary: steps, tokens, final losses, seconds.

    Raises:
        TrainingStopped: ``should_stop`` returned True; a checkpoint is kept, from which the same job resumes.
        TrainingError: the loss is not finite, or part of the model never changes.
        DataError: a row that cannot be trained on.
        ModelError: the model cannot be loaded.
        RefusedError: the recipe cannot be trained on this machine.
    """
    device = default_device()
    check_sharding(workers.strategy, job.recipe)
    if not workers.is_first:
        emit = _no_events
    if job.recipe.preserve is not None and job.rehearsal is None:
        job = replace(job, rehearsal=open_rehearsal(job.recipe.preserve))
    emit("log", {"message": "loading the model", "model": job.model})
    origin = check_recipe(job.recipe, job.model, job.data, job.validation)
    if job.recipe.sampled_by is not None and workers.is_first:
        job.recipe.sampled_by.check_installed()
    if is_embedded(origin.base):
        expand_embedded()
    facts = machine_facts(len(job.data), load_config(origin))
    recipe = job.recipe.resolve(facts)
    loss = loss_of(recipe)
    warning = rate_warning(recipe, facts)
    if warning is not None:
        emit("warning", {"message": warning})
    pretrained = load_pretrained(
        origin,
        precision="bf16" if recipe.precision == "bf16" else "fp32",
        device=torch.device("cpu") if workers.shards else device,  # of which it is moved layer by layer
        quantisation=recipe.adapter.quantization,
        scores=recipe.score_head,
        day=job.day or date.today(),
    )
    template_day = pretrained.chat_template.day
    check_length(recipe, pretrained.model.config.to_dict())
    limit = recipe.max_length or pretrained.max_length

    def rendered(data: Dataset) -> TokenRows:
        tokens = render_rows(data, pretrained.chat_template, loss.render, limit, reserve=recipe.reserved_tokens)
        return loss.arrange(tokens)

    rows = rendered(job.data)
    validation_rows = None if job.validation is None else rendered(job.validation)
    if len(rows.rows) != len(job.data):  # texts were packed into blocks
        recipe = job.recipe.resolve(replace(facts, rows=len(rows.rows)))
    recipe = workers.from_first(
        lambda: _fitted(
            job.recipe,
            recipe,
            pretrained.model.config,
            rows,
            validation_rows,
            device,
            workers.size if workers.shards else 1,
        )
    )
    loss = loss_of(recipe)
    total_steps = recipe.total_steps(len(rows.rows))
    adapted = adapt(
        pretrained.model,
        recipe.adapter,
        total_steps=total_steps,
        seed=recipe.seed,
        initial_weights=origin.adapter,
        scores=recipe.score_head,
        hold=partial(_hold, device=device, workers=workers),
    )
    weights = adapted.weights
    held = quantized_files(origin)
    if held is not None and recipe.adapter.quantization is not None:
        used = "used as they are" if is_quantized(pretrained.model) else "expanded, so QLoRA saves no memory"
        kind = quantization_text(held)
        emit("warning", {"message": f"the model's files hold quantised weights already ({kind}); they are {used}"})
    for note in adapted.tuner.notes:
        emit("warning", {"message": note})
    examples = rows.examples() + (validation_rows.examples() if validation_rows else [])
    computer = LossComputer(
        recipe,
        loss,
        adapted,
        device,
        loss.sample_sequences(examples),
        lambda message: emit("warning", {"message": message}),
        workers,
    )
    context = TrainingContext(
        recipe=recipe,
        loss=loss,
        pretrained=pretrained,
        adapted=adapted,
        computer=computer,
        data=job.data,
        rows=rows,
        validation=job.validation,
        validation_rows=validation_rows,
        checkpoints=Checkpoints(
            job.checkpoints,
            job.digest(pretrained.chat_template.template_hash, template_day),
            recipe.save_total_limit,
            writes=workers.is_first,
        ),
        emit=emit,
        grader_context=setting or GraderContext(),
        samples_file=job.output.with_name(SAMPLES),
        fresh_adapter=origin.adapter is None and not recipe.adapter.trains_base_weights,
        rehearsal=job.rehearsal,
    )
    named = loss.source_class
    source: ExampleSource = (resolve_name(named) if isinstance(named, str) else named)(context)

    def save_epoch_model(step: int, epoch: int) -> bool:
        if not job.epochs.limit:
            return False
        state = weights.model_state(adapted.model)
        if not workers.is_first:
            return False
        record = {**job.record, "step": step, "epoch": epoch}
        return job.epochs.save(step, lambda folder: save_artefact(folder, pretrained, adapted, recipe, record, state))

    loop = TrainingLoop(context, source, device, total_steps, should_stop, save_epoch_model)
    emit(
        "log",
        {
            "message": "training",
            "recipe": recipe.model_dump(mode="json"),
            "steps": total_steps,
            "rows": len(rows.rows),
            "tokens": rows.tokens,
            "supervised_tokens": rows.supervised,
            "longest_row": rows.longest,
            "trainable_parameters": sum(p.numel() for p in adapted.parameters.values()),
            **describe_machine(device),
            **loop.utilisation.describe(),
            **({} if workers.size == 1 else {"workers": workers.size, "strategy": workers.strategy}),
            **({} if template_day is None else {"template_day": template_day.isoformat()}),
        },
    )
    try:
        summary = loop.run()
    finally:
        source.close()
    state = weights.model_state(adapted.model)
    if workers.is_first:
        save_artefact(job.output, pretrained, adapted, recipe, {**job.record, "summary": summary}, state)
    context.checkpoints.clear()
    return summary
