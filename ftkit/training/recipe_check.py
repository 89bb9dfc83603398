"""What the local engine refuses, known before a worker is started. Quick: loads torch only to ask for a CUDA GPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from ftkit.data import Dataset
from ftkit.error_text import ErrorText
from ftkit.errors import ModelError, RefusedError
from ftkit.graders import Grader, GraderContext
from ftkit.modeling.model_shape import model_shape
from ftkit.modeling.model_source import ModelSource, find_source
from ftkit.modeling.quantized_files import held_quantization, quantization_problem
from ftkit.modeling.rope_boundary import dynamic_rope_limit
from ftkit.recipe import Recipe, RecipeFacts
from ftkit.training.adapters.base import missing_layer
from ftkit.training.eval_metric import training_metric
from ftkit.training.rehearsal_rows import check_rehearsal, open_rehearsal

__all__ = ["check_length", "check_recipe"]


def check_recipe(
    recipe: Recipe, model: str, data: Dataset, validation: Dataset | None = None, *, has_cuda: bool | None = None
) -> ModelSource:
    """Refuse a recipe that a machine cannot train on a model. Reads no weights and no rows.

    Args:
        recipe: as the user wrote it.
        model: name of the base model, see :func:`~ftkit.modeling.model_source.find_source`.
        data: training rows.
        validation: validation rows, if any.
        has_cuda: whether the machine has a CUDA GPU; ``None`` asks this one.

    Returns:
        Where the model's files are.

    Raises:
        RefusedError: names the fields.
        ConfigError: the recipe cannot be resolved for this many rows.
        ModelError: there is no such model.
    """
    recipe.resolve(RecipeFacts(rows=len(data)))
    if not recipe.loss_class:
        _refuse(f"the local engine does not train {recipe.kind!r}", "kind")
    if not recipe.adapter.tuner_class:
        _refuse(f"the local engine does not know the adapter {recipe.adapter.kind!r}", "adapter.kind")
    for rows in (data, validation):
        if rows is not None and rows.kind not in recipe.rows:
            hint = ("; ", recipe.rows_hint) if recipe.rows_hint else ()
            _refuse(
                ErrorText(
                    f"{type(recipe).__name__} trains on {' or '.join(recipe.rows)}, and {rows!r} has {rows.kind}", *hint
                ),
                "kind",
            )
    if recipe.early_stopping_patience is not None and validation is None:
        _refuse("early_stopping_patience needs validation rows", "early_stopping_patience")
    if recipe.eval_metric is not None and validation is None:
        _refuse("eval_metric needs validation rows", "eval_metric")
    if recipe.score_head:
        for field in ("eval_metric", "preserve"):
            if getattr(recipe, field) is not None:
                _refuse(f"{field}: {type(recipe).__name__} trains a model that generates no text", field)
    if recipe.eval_metric is not None and validation is not None and not isinstance(recipe.eval_metric, Grader):
        training_metric(recipe, validation.task, GraderContext())
    if recipe.ema_decay is not None and not recipe.adapter.averages:
        _refuse(
            f"ema_decay: {recipe.adapter.kind} changes the shape of its update during the run, so its weights have no "
            "average; leave it out, or take another adapter",
            "ema_decay",
        )
    if recipe.preserve is not None:
        check_rehearsal(recipe.preserve, open_rehearsal(recipe.preserve))
    if recipe.optimizer == "paged_adamw_8bit" and not (_has_cuda() if has_cuda is None else has_cuda):
        _refuse(
            'optimizer: "paged_adamw_8bit" pages between GPU and CPU memory, and this machine has no CUDA GPU; use '
            '"auto" or "adamw"',
            "optimizer",
        )
    unsupported = recipe.unsupported_locally()
    if unsupported:
        reasons = "; ".join(f"{name}={getattr(recipe, name)!r}: {reason}" for name, reason in unsupported.items())
        _refuse(f"the local engine cannot honour the recipe. {reasons}. Leave these at their defaults", *unsupported)
    if recipe.sampled_by is not None and (problem := recipe.sampled_by.problem(recipe)) is not None:
        _refuse(problem[0], *problem[1])
    for name in recipe.local_models():
        if find_source(name.removeprefix("local:")).scores:
            _refuse(f"teacher: {name!r} is a reward model, which has no probabilities of tokens", "teacher")
    source = find_source(model)
    if source.scores and not recipe.score_head:
        _refuse(
            f"{source.name!r} is a reward model; {type(recipe).__name__} trains a model that generates text", "model"
        )
    _check_quantization(source)
    check_length(recipe, source.config() or {})
    if source.adapter is not None:
        _check_continued_adapter(recipe, source)
    _check_targets(recipe, source)
    return source


def check_length(recipe: Recipe, config: Mapping[str, Any]) -> None:
    """Refuse rows that a model computes otherwise beside other rows.

    Args:
        recipe: the recipe.
        config: the model's ``config.json``.

    Raises:
        RefusedError: ``max_length`` allows them.
    """
    limit = dynamic_rope_limit(config)
    if limit is not None and recipe.max_length is not None and recipe.max_length > limit:
        _refuse(
            f"max_length={recipe.max_length:,}: beyond {limit:,} tokens the rotary positions of this model follow the "
            f"length of the longest row (dynamic NTK), so that rows would change each other; write at most {limit:,}",
            "max_length",
        )


def _check_quantization(source: ModelSource) -> None:
    held = held_quantization(source.config() or {})
    problem = None if held is None else quantization_problem(held)
    if problem is not None:
        _refuse(f"{source.name!r} cannot be trained: {problem}. Take the model in 16 bits, with ft.QLoRA()", "model")


def _check_continued_adapter(recipe: Recipe, source: ModelSource) -> None:
    """Training that starts from an adapter continues that adapter, so the recipe's must be the same."""
    trained = source.record.get("recipe", {}).get("adapter")
    if trained is None:
        _refuse(f"{source.name!r} is an adapter that ftkit did not make; merge it into its base first", "model")
    if not recipe.adapter.continues:
        _refuse(
            f"training cannot continue from {source.name!r} with {recipe.adapter.kind}; export it merged, and start "
            "from that",
            "adapter",
        )
    wanted = recipe.adapter.resolve(total_steps=1).model_dump(mode="json")
    # An adapter of an earlier version lacks fields that were added later, whose default is None.
    differ = {name: trained.get(name) for name in {*wanted, *trained} if wanted.get(name) != trained.get(name)}
    if differ:
        listed = ", ".join(f"{name}={value!r}" for name, value in sorted(differ.items()))
        _refuse(
            f"training continues the adapter of {source.name!r}, and the recipe's is different. It must have {listed}",
            *(f"adapter.{name}" for name in sorted(differ)),
        )


def _check_targets(recipe: Recipe, source: ModelSource) -> None:
    """Refuse layers that the model lacks. Where the family's layers are not known, the worker says so later."""
    config, numbers = source.config(), recipe.adapter.layer_numbers
    if (recipe.adapter.layers == "all-linear" and numbers is None) or config is None:
        return
    try:
        shape = model_shape(config)
    except ModelError:
        return
    if numbers is not None and numbers[-1] >= shape.layers:
        _refuse(missing_layer(numbers[-1], shape.layers), "adapter.layers_to_transform")
    if recipe.adapter.layers == "all-linear":
        return
    known = dict.fromkeys(linear.name for linear in shape.linears)
    # PEFT also takes the end of a layer's dotted name: "mlp.up_proj".
    unknown = [name for name in recipe.adapter.layers if name.rpartition(".")[2] not in known]
    if unknown:
        _refuse(
            f"adapter.target_modules: a {shape.family} model has no layer {', '.join(map(repr, unknown))} to adapt; "
            f"it has {', '.join(known)}",
            "adapter.target_modules",
        )


def _refuse(message: str, *fields: str) -> NoReturn:
    raise RefusedError(message, backend="local", fields=fields)


def _has_cuda() -> bool:
    from ftkit.modeling.device import default_device

    return default_device().type == "cuda"
