"""A model in training, put for a while into the state in which it draws answers, or in which it was before the run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from peft.tuners.lora.layer import Linear
from peft.tuners.tuners_utils import BaseTunerLayer

from ftkit.modeling.attention import TREE_ATTENTION
from ftkit.modeling.grouped_query_attention import GROUPED_ATTENTION
from ftkit.training.adapters.base import AdaptedModel

__all__ = ["Before", "drawing"]


@contextmanager
def drawing(adapted: AdaptedModel) -> Iterator[None]:
    """The model as :func:`~ftkit.inference.offline.generate` wants it: attention for a growing cache, no dropout, no
    checkpointing, and LoRA added into the weights where they are held in float32.

    The trained model's own weights are put aside, not computed back, so what comes after is what was before.
    """
    model = adapted.base_model
    attention = model.config._attn_implementation
    checkpointed = bool(model.is_gradient_checkpointing)
    if attention == TREE_ATTENTION:
        model.set_attn_implementation(GROUPED_ATTENTION)
    if checkpointed:  # it forbids a cache
        model.gradient_checkpointing_disable()
    adapted.set_dropout(enabled=False)
    aside = _merge(model)
    try:
        yield
    finally:
        for layer, weight in aside:
            layer.base_layer.weight.data = weight
            layer._disable_adapters = False
        adapted.set_dropout(enabled=True)
        if checkpointed:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        if attention == TREE_ATTENTION:
            model.set_attn_implementation(attention)


@torch.no_grad()
def _merge(model: Any) -> list[tuple[Any, torch.Tensor]]:
    """Give plain LoRA layers the sum of both as their weight; returns them with the weight of before."""
    aside = []
    for layer in model.modules():
        if type(layer) is not Linear or layer.base_layer.weight.dtype != torch.float32:
            continue
        [name] = layer.active_adapters
        if layer.lora_variant.get(name) is not None:  # DoRA: no sum
            continue
        weight = layer.base_layer.weight.data
        aside.append((layer, weight))
        layer.base_layer.weight.data = weight + layer.get_delta_weight(name)
        layer._disable_adapters = True
    return aside


class Before:
    """The model that training began with: the base, or what the adapter was that the run goes on with.

    Args:
        adapted: as training begins.
        fresh: its adapter adds nothing yet, so that it need only be left out. Otherwise its values are kept.
    """

    def __init__(self, adapted: AdaptedModel, *, fresh: bool) -> None:
        self._adapted = adapted
        self._layers = [one for one in adapted.base_model.modules() if isinstance(one, BaseTunerLayer)] if fresh else []
        kept = {} if self._layers else adapted.parameters
        self._first = {name: parameter.detach().clone() for name, parameter in kept.items()}

    @contextmanager
    def placed(self) -> Iterator[None]:
        """Within, the model is that of before."""
        now = {name: self._adapted.parameters[name].detach().clone() for name in self._first}
        self._put(self._first, off=True)
        try:
            yield
        finally:
            self._put(now, off=False)

    @torch.no_grad()
    def _put(self, values: dict[str, torch.Tensor], *, off: bool) -> None:
        for layer in self._layers:
            layer._disable_adapters = off
        for name, value in values.items():
            self._adapted.parameters[name].copy_(value)
