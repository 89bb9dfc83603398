"""Two states that a model in training is put into for a while: for sampling, and as it was before the run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from peft.tuners.lora.layer import Linear
from peft.tuners.tuners_utils import BaseTunerLayer

from ftkit.modeling.attention import TREE_ATTENTION, own_attention
from ftkit.modeling.grouped_query_attention import GROUPED_ATTENTION
from ftkit.training.adapters.adapted_model import AdaptedModel

__all__ = ["ReferenceModel", "sampling_mode"]


@contextmanager
def sampling_mode(adapted: AdaptedModel) -> Iterator[None]:
    """Prepare the model for sampling inside a ``with`` block.

    Attention works with a growing cache, dropout and gradient checkpointing are off, and LoRA is merged into weights
    held in float32. The trained model's own weights are set aside, not recomputed, so that the same bits return.

    Args:
        adapted: the model in training.

    Yields:
        Nothing.
    """
    model = adapted.base_model
    attention = model.config._attn_implementation
    checkpointed = bool(model.is_gradient_checkpointing)
    if attention == TREE_ATTENTION:
        own = own_attention(model)
        model.set_attn_implementation(GROUPED_ATTENTION if own == "sdpa" else own)
    if checkpointed:  # it forbids a cache
        adapted.disable_checkpointing()
    adapted.set_dropout(enabled=False)
    try:
        with adapted.weights.gathered(), _merged(model):
            yield
    finally:
        adapted.set_dropout(enabled=True)
        if checkpointed:
            adapted.enable_checkpointing()
        if attention == TREE_ATTENTION:
            model.set_attn_implementation(attention)


@contextmanager
def _merged(model: Any) -> Iterator[None]:
    """Merge plain LoRA layers inside a ``with`` block; then put back their original weights."""
    originals: list[tuple[Any, torch.Tensor]] = []
    try:
        with torch.no_grad():
            for layer in model.modules():
                if type(layer) is not Linear or layer.base_layer.weight.dtype != torch.float32:
                    continue
                [name] = layer.active_adapters
                if layer.lora_variant.get(name) is not None:  # DoRA is no sum
                    continue
                weight = layer.base_layer.weight.data
                originals.append((layer, weight))
                layer.base_layer.weight.data = weight + layer.get_delta_weight(name)
                layer._disable_adapters = True
        yield
    finally:
        for layer, weight in originals:
            layer.base_layer.weight.data = weight
            layer._disable_adapters = False


class ReferenceModel:
    """The model that training began with: the base, or the adapter that the run continues.

    Args:
        adapted: the model as training begins.
        fresh: whether its adapter adds nothing yet, so that it need only be disabled. Otherwise its initial values are
            copied.

    Attributes:
        initial: the copied values by the names of the parameters.
    """

    def __init__(self, adapted: AdaptedModel, *, fresh: bool) -> None:
        modules = adapted.base_model.modules()
        self._adapted = adapted
        self._layers = [module for module in modules if isinstance(module, BaseTunerLayer)] if fresh else []
        copied = {} if self._layers else adapted.parameters
        self.initial = {name: parameter.detach().clone() for name, parameter in copied.items()}

    @contextmanager
    def active(self) -> Iterator[None]:
        """Turn the model in training into the reference inside a ``with`` block.

        Yields:
            Nothing.
        """
        current = {name: self._adapted.parameters[name].detach().clone() for name in self.initial}
        self._set(self.initial, disabled=True)
        try:
            yield
        finally:
            self._set(current, disabled=False)

    def value_of(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return the reference's value of one of the model's tensors.

        Args:
            tensor: a tensor of the model, trained or not.

        Returns:
            Its initial value if it is trained, else the tensor itself, which never changes.
        """
        for name, value in self.initial.items():
            if self._adapted.parameters[name] is tensor:
                return value
        return tensor.detach()

    @torch.no_grad()
    def _set(self, values: dict[str, torch.Tensor], *, disabled: bool) -> None:
        for layer in self._layers:
            layer._disable_adapters = disabled
        for name, value in values.items():
            self._adapted.parameters[name].copy_(value)
