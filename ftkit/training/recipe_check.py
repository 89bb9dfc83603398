"""What the local engine refuses, known before a worker is started. Quick: imports torch only for who asks for CUDA."""

from __future__ import annotations

from typing import Any

from ftkit.data import Dataset
from ftkit.errors import ModelError, RefusedError
from ftkit.modeling.model_shape import model_shape
from ftkit.modeling.model_source import ModelSource, find_source
from ftkit.recipe import DPO, RFT, SFT, AdaLoRA, Full, Recipe, RecipeFacts, RewardModel

__all__ = ["check_recipe"]


def check_recipe(
    recipe: Recipe, model: str, data: Dataset, validation: Dataset | None = None, *, has_cuda: bool | None = None
) -> ModelSource:
    """Refuse what a machine cannot do with ``model``; returns where the model is. Reads no weights and no rows.

    Args:
        has_cuda: whether the machine has a CUDA GPU; ``None`` asks this one.

    Raises:
        RefusedError: names the fields.
        ConfigError: the recipe cannot be resolved for so many rows.
        ModelError: there is no such model.
    """
    recipe.resolve(RecipeFacts(rows=len(data)))
    if not isinstance(recipe, SFT | DPO | RewardModel | RFT):
        raise _refused(f"the local engine does not train {recipe.kind!r}", "kind")
    for rows in (data, validation):
        if rows is not None:
            _check_rows(recipe, rows)
    if recipe.early_stopping_patience is not None and validation is None:
        raise _refused("early_stopping_patience needs validation rows to look at", "early_stopping_patience")
    if recipe.optimizer == "paged_adamw_8bit" and not (_has_cuda() if has_cuda is None else has_cuda):
        raise _refused(
            'optimizer: "paged_adamw_8bit" pages between GPU and CPU memory, and this machine has no CUDA GPU; use '
            '"auto" or "adamw"',
            "optimizer",
        )
    if isinstance(recipe, RFT):
        _check_here(recipe)
    source = find_source(model)
    if source.scores and not isinstance(recipe, RewardModel):
        raise _refused(f"{source.name!r} is a reward model; {type(recipe).__name__} trains one that writes", "model")
    if source.adapter is not None:
        _check_beginning(recipe, source)
    _check_targets(recipe, source)
    return source


def _check_rows(recipe: Recipe, rows: Dataset) -> None:
    """Reinforcement asks for prompts only, which rows of every kind have."""
    if isinstance(recipe, DPO | RewardModel) and rows.kind != "preferences":
        raise _refused(
            f"{type(recipe).__name__} learns from pairs, and {rows!r} has {rows.kind}; name the columns with "
            'chosen="…" and rejected="…", or train with SFT',
            "kind",
        )
    if isinstance(recipe, SFT) and rows.kind == "prompts":
        raise _refused(
            f"SFT learns from answers, and {rows!r} has none; name their column with target=, or train with RFT", "kind"
        )


def _check_here(recipe: RFT) -> None:
    """Fields that say something to hosts alone."""
    told = {
        "compute_multiplier": (recipe.compute_multiplier is not None, "num_generations says how much is tried here"),
        "reasoning_effort": (recipe.reasoning_effort != "default", "the local engine has no such setting"),
    }
    asked = {name: why for name, (set_, why) in told.items() if set_}
    if asked:
        listed = "; ".join(f"{name}={getattr(recipe, name)!r}: {why}" for name, why in asked.items())
        raise _refused(f"the local engine cannot honour the recipe. {listed}. Leave these at their defaults", *asked)


def _check_beginning(recipe: Recipe, source: ModelSource) -> None:
    """Training that begins with an adapter goes on with that adapter, so it must be the recipe's."""
    there = source.record.get("recipe", {}).get("adapter")
    if there is None:
        raise _refused(f"{source.name!r} is an adapter that ftkit did not make; merge it into its base first", "model")
    if isinstance(recipe.adapter, AdaLoRA | Full):
        raise _refused(
            f"training cannot go on from {source.name!r} with {recipe.adapter.kind}; export it merged, and begin "
            "from that",
            "adapter",
        )
    asked = recipe.adapter.resolve(total_steps=1).model_dump(mode="json")
    if asked != there:
        differ = {name: there.get(name) for name in {*asked, *there} if asked.get(name) != there.get(name)}
        listed = ", ".join(f"{name}={value!r}" for name, value in sorted(differ.items()))
        raise _refused(
            f"training goes on with the adapter of {source.name!r}, and the recipe's is another. It would have to have "
            f"{listed}",
            *(f"adapter.{name}" for name in sorted(differ)),
        )


def _check_targets(recipe: Recipe, source: ModelSource) -> None:
    """Layers to adapt that a model has not. Of a family whose layers are not known the worker says so later."""
    asked = getattr(recipe.adapter, "target_modules", "all-linear")
    config = source.config()
    if asked == "all-linear" or config is None:
        return
    try:
        shape = model_shape(config)
    except ModelError:
        return
    known = dict.fromkeys(one.name for one in shape.linears)
    # PEFT takes the end of a layer's dotted name, too: "mlp.up_proj".
    unknown = [name for name in asked if name.rpartition(".")[2] not in known]
    if unknown:
        raise _refused(
            f"adapter.target_modules: a {shape.family} model has no layer {', '.join(map(repr, unknown))} to adapt; "
            f"it has {', '.join(known)}",
            "adapter.target_modules",
        )


def _refused(message: str, *fields: str) -> RefusedError:
    return RefusedError(message, backend="local", fields=fields)


def _has_cuda() -> bool:
    from ftkit.modeling.device import default_device

    where: Any = default_device()
    return bool(where.type == "cuda")
