"""Putting an adapter on a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from peft import get_peft_model_state_dict, set_peft_model_state_dict
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import load_peft_weights
from transformers.pytorch_utils import Conv1D

from ftkit.errors import ModelError, RefusedError
from ftkit.modeling.artefact_digests import check_digests
from ftkit.modeling.dequantize import is_quantized
from ftkit.modeling.library_logging import quiet
from ftkit.modeling.load_errors import load_errors
from ftkit.modeling.whole_weights import check_loaded
from ftkit.recipe import Adapter
from ftkit.training.adapters.adapted_model import AdaptedModel, adapter_modules, set_evaluation_mode
from ftkit.training.adapters.base import tuner_of
from ftkit.training.adapters.expert_notes import expert_notes
from ftkit.training.weights import WholeWeights

__all__ = ["adapt"]


def adapt(
    base_model: Any,
    adapter: Adapter,
    *,
    total_steps: int,
    seed: int,
    initial_weights: Path | None = None,
    scores: bool = False,
    hold: Callable[[Any, Sequence[torch.nn.Parameter]], WholeWeights] = lambda model, adapter: WholeWeights(),
) -> AdaptedModel:
    """Put an adapter on a model and freeze everything else.

    What the model itself does at random is switched off, because packed rows share their computation. The adapter's
    dropout is kept.

    Args:
        base_model: the transformers model; changed in place.
        adapter: resolved, without ``"auto"``.
        total_steps: optimiser steps of the run.
        seed: random seed of the adapter's initial values.
        initial_weights: folder of a saved adapter of the same shape, whose values replace the initial ones.
        scores: whether the model ends in a score layer, which is trained too.
        hold: makes each of several workers hold its part of the model, and returns how. It takes the model with the
            adapter in it and the adapter's parameters, of which there are none if every weight is trained. By default
            there is one worker.

    Returns:
        The model with its trainable part.

    Raises:
        RefusedError: the adapter names layers that the model lacks, would adapt the output layer, or would train
            weights that are held quantised.
        ModelError: the saved adapter has another shape.
    """
    set_evaluation_mode(base_model)
    tuner = tuner_of(adapter, total_steps)
    tuner.continued = initial_weights
    if adapter.trains_base_weights:
        if is_quantized(base_model):
            raise RefusedError(
                f"adapter {adapter.kind!r} trains all weights, and the files of this model hold them quantised; train "
                "a LoRA adapter, or take the model in 16 bits",
                backend="local",
                fields=("adapter.kind",),
            )
        weights = hold(base_model, [])  # before float32 weights of all layers are in memory at once
        model = tuner.attach(base_model, scores=scores)
        return AdaptedModel(model, base_model, dict(base_model.named_parameters()), tuner, weights=weights)
    _check_targets(base_model, adapter)
    torch.manual_seed(seed)
    with quiet():  # PEFT warns of options that ftkit sets on purpose
        model = tuner.attach(base_model, scores=scores)
    tuner.notes += expert_notes(base_model, adapter)
    if not scores and isinstance(base_model.get_output_embeddings(), BaseTunerLayer):
        raise RefusedError(
            "adapter.target_modules names the output layer; the local engine trains adapters on inner layers only",
            backend="local",
            fields=("adapter.target_modules",),
        )
    if initial_weights is not None:
        _load_adapter(model, initial_weights)
    parameters = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    for parameter in parameters.values():
        parameter.data = parameter.data.float()
    own = [parameter for module in adapter_modules(model) for parameter in module.parameters(recurse=False)]
    weights = hold(base_model, list(dict.fromkeys([*parameters.values(), *own])))
    return AdaptedModel(model, base_model, parameters, tuner, weights=weights)


def _load_adapter(model: Any, folder: Path) -> None:
    """Load a saved adapter into a fresh one of the same shape; a score layer that it lacks keeps its values."""
    check_digests(folder)
    with load_errors(f"cannot continue from the adapter {folder}", folder):
        fresh, saved = get_peft_model_state_dict(model), load_peft_weights(str(folder), device="cpu")
        missing = [name for name in fresh if name not in saved and ".score." not in name]
        check_loaded(f"the adapter {folder}", missing=missing)
        result = set_peft_model_state_dict(model, {**fresh, **saved})
    if result.unexpected_keys:
        raise ModelError(f"the adapter {folder} does not fit the recipe's: {', '.join(result.unexpected_keys[:3])}")


def _check_targets(base_model: Any, adapter: Adapter) -> None:
    """PEFT ignores names that no layer has as long as another name has one, and does not list the layers there are."""
    if adapter.layers == "all-linear":
        return
    layers = [name for name, module in base_model.named_modules() if isinstance(module, torch.nn.Linear | Conv1D)]
    unknown = [
        target for target in adapter.layers if not any(name == target or name.endswith(f".{target}") for name in layers)
    ]
    if unknown:
        known = sorted({name.rpartition(".")[2] for name in layers} - {"lm_head", "score"})
        raise RefusedError(
            f"adapter.target_modules: the model has no linear layer {', '.join(map(repr, unknown))}; it has "
            f"{', '.join(known)}",
            backend="local",
            fields=("adapter.target_modules",),
        )
