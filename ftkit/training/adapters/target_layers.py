"""Which linear layers ``target_modules="all-linear"`` adapts: those that PEFT can adapt and that a gradient reaches.

In most models these are all linear layers but the output layer, as PEFT itself takes them. Some models have layers that
look linear and are not (routers that return several tensors), whose weights other code reads without calling the layer
(state spaces), or whose output does not count. A short trial finds them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers.pytorch_utils import Conv1D

from ftkit.errors import RefusedError
from ftkit.modeling.causality import trial_tokens

__all__ = ["continue_layers", "layer_kind", "layer_list", "linear_layers", "untrainable_layers"]

_PEFT_REFUSES = dict.fromkeys(("falcon_h1", "falcon_mamba", "mamba", "mamba2", "nemotron_h"), ("out_proj",))
"""Layers that PEFT 0.21 refuses by name (``peft.tuners.tuners_utils``): kernels read their weights directly."""

_FAILURES = (RuntimeError, AssertionError, TypeError, ValueError, AttributeError, IndexError)


def untrainable_layers(model: Any) -> list[str]:
    """Find the linear layers that PEFT's ``"all-linear"`` would adapt and an adapter cannot train.

    Args:
        model: the transformers model, without adapter.

    Returns:
        Full names of the layers, sorted.

    Raises:
        RefusedError: no layer can be trained, or the model computes no gradient.
    """
    layers = linear_layers(model)
    refused = _PEFT_REFUSES.get(model.config.model_type, ())
    seen = _try(model, layers)
    kinds_that_learn = {layer_kind(name) for name, learns in seen.items() if learns}
    left_out = [
        name
        for name in layers
        # An expert that the trial did not call learns if others of its kind do.
        if not seen.get(name, layer_kind(name) in kinds_that_learn) or name.rpartition(".")[2] in refused
    ]
    if len(left_out) == len(layers):
        raise RefusedError(
            f'adapter.target_modules="all-linear": a {model.config.model_type} model has no linear layer that an '
            "adapter can train; train all weights (adapter=ft.Full())",
            backend="local",
            fields=("adapter.target_modules",),
        )
    return sorted(left_out)


def continue_layers(config: Any, folder: Path) -> None:
    """Let a PEFT configuration name the layers of a saved adapter, which are the same on any machine.

    Args:
        config: the ``peft.PeftConfig`` to change.
        folder: where PEFT saved the adapter.
    """
    from peft import PeftConfig

    saved = PeftConfig.from_pretrained(str(folder))
    for name in ("target_modules", "exclude_modules", "target_parameters", "rank_pattern", "alpha_pattern"):
        if hasattr(saved, name) and hasattr(config, name):
            setattr(config, name, getattr(saved, name))


def linear_layers(model: Any) -> dict[str, torch.nn.Module]:
    """Find the linear layers of a model without its output layer.

    Args:
        model: the transformers model, without adapter.

    Returns:
        The layers by their full names.
    """
    outputs = {id(model.get_output_embeddings()), id(getattr(model, "score", None))}
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear | Conv1D) and id(module) not in outputs
    }


def layer_list(model: Any) -> tuple[str, int]:
    """Find the list of a model's transformer layers.

    Args:
        model: the transformers model, without adapter.

    Returns:
        The full name of the list, e.g. ``model.layers``, and the number of layers.

    Raises:
        RefusedError: the model does not hold its layers in one list.
    """
    count = getattr(model.config.get_text_config(), "num_hidden_layers", None)
    lists = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.ModuleList) and len(module) == count and "." in name
    }
    if not lists:
        raise RefusedError(
            f"adapter.layers_to_transform: a {model.config.model_type} model does not hold its layers in one list; "
            "name the linear layers in adapter.target_modules",
            backend="local",
            fields=("adapter.layers_to_transform",),
        )
    largest = max(lists, key=lambda name: sum(parameter.numel() for parameter in lists[name].parameters()))
    return largest, len(lists[largest])


def layer_kind(name: str) -> str:
    """Name a layer without the numbers of layers and experts.

    Args:
        name: its full name.

    Returns:
        The name, e.g. ``model.layers.mlp.up_proj``.
    """
    return re.sub(r"\.\d+(?=\.|$)", "", name)


def _try(model: Any, layers: dict[str, torch.nn.Module]) -> dict[str, bool]:
    """Whether each layer that the model calls is a plain linear layer whose output a gradient reaches."""
    seen: dict[str, bool] = {}

    def watch(name: str) -> Any:
        def hook(layer: torch.nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            seen.setdefault(name, False)
            if _is_plain(layer, inputs, output) and output.requires_grad:
                output.register_hook(lambda gradient: _note(seen, name, gradient))

        return hook

    hooks = [module.register_forward_hook(watch(name)) for name, module in layers.items()]
    hooks.append(model.get_input_embeddings().register_forward_hook(_with_gradient))
    try:
        with _frozen(model), torch.enable_grad():
            output = model(input_ids=trial_tokens(model, 12), use_cache=False)
            output.logits.float().square().sum().backward()
    except _FAILURES as error:
        raise RefusedError(
            f"a {model.config.model_type} model cannot be trained: its gradient fails "
            f"({type(error).__name__}: {error})",
            backend="local",
            fields=("model",),
        ) from error
    finally:
        for hook in hooks:
            hook.remove()
    return seen


def _is_plain(layer: Any, inputs: tuple[Any, ...], output: Any) -> bool:
    if not inputs or not isinstance(inputs[0], torch.Tensor) or not isinstance(output, torch.Tensor):
        return False
    width = layer.nf if isinstance(layer, Conv1D) else layer.out_features
    return output.shape == (*inputs[0].shape[:-1], width)


def _with_gradient(embedding: torch.nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor:
    return output.detach().requires_grad_().clone()  # a copy, because some models change it in place


def _note(seen: dict[str, bool], name: str, gradient: torch.Tensor) -> None:
    seen[name] = seen[name] or bool(gradient.any())


@contextmanager
def _frozen(model: Any) -> Iterator[None]:
    """Let no weight require a gradient, which would take memory."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(requires_grad=False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(requires_grad=True)
