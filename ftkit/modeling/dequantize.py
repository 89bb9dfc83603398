"""Expand weights that are held in 4 or 8 bits."""

from __future__ import annotations

from typing import Any

import torch
from transformers.pytorch_utils import Conv1D

from ftkit.errors import ModelError
from ftkit.modeling.expert_weights import expand_experts
from ftkit.modeling.library_logging import quiet

__all__ = ["dequantize", "forget_quantization", "is_quantized"]


def is_quantized(model: Any) -> bool:
    """Say whether a model holds quantised weights, by ftkit's wish or because its folder does.

    Args:
        model: a transformers model.

    Returns:
        Whether it does.
    """
    return bool(getattr(model, "is_quantized", False))


def dequantize(model: Any) -> Any:
    """Expand a model's quantised weights; the values are the same.

    Args:
        model: a transformers model. One without quantised weights is returned as it is.

    Returns:
        The model with plain layers of its architecture.

    Raises:
        ModelError: the way in which the weights are held cannot be undone.
    """
    if not is_quantized(model):
        return model
    expand_experts(model)
    method = getattr(getattr(model, "quantization_method", None), "value", None) or "an unknown method"
    try:
        with quiet():
            plain = model.dequantize()
    except (NotImplementedError, AttributeError, ValueError, RuntimeError) as error:
        raise ModelError(
            f"the weights are held by {method}, which transformers cannot expand ({error}); take the model in 16 bits"
        ) from error
    _restore_conv1d(plain)
    forget_quantization(plain)
    return plain


def forget_quantization(model: Any) -> None:
    """Let transformers save a model whose weights were expanded by the names of plain weights.

    Args:
        model: a transformers model; changed in place.
    """
    # What transformers undoes when it saves the model: reading quantised files is no longer part of it.
    conversions = getattr(model, "_weight_conversions", None)
    if conversions:
        model._weight_conversions = [one for one in conversions if _can_be_undone(one)]


def _can_be_undone(conversion: Any) -> bool:
    if any(getattr(operation, "hf_quantizer", None) is not None for operation in getattr(conversion, "operations", ())):
        return False
    try:
        conversion.reverse_transform()
    except NotImplementedError:
        return False
    return True


def _restore_conv1d(model: Any) -> None:
    """Make linear layers Conv1D layers again where the architecture has these (GPT-2), so that it loads its files.

    bitsandbytes holds a Conv1D layer, whose weight is transposed, as a linear one.
    """
    with torch.device("meta"):
        architecture = type(model)(model.config)
    for name, original in architecture.named_modules():
        if not isinstance(original, Conv1D):
            continue
        linear = model.get_submodule(name)
        if type(linear) is not torch.nn.Linear:
            continue
        restored = Conv1D(original.nf, original.nx).to(linear.weight.device, linear.weight.dtype)
        with torch.no_grad():
            restored.weight.copy_(linear.weight.t())
            if linear.bias is not None:
                restored.bias.copy_(linear.bias)
        restored.train(linear.training)
        model.set_submodule(name, restored)
