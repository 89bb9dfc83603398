"""Load a model for inference, merging the adapter into the base where that does not change its answers."""

from __future__ import annotations

from typing import Literal

import torch

from ftkit.errors import ModelError
from ftkit.modeling.dequantize import dequantize, is_quantized
from ftkit.modeling.device import bf16_is_fast, default_device
from ftkit.modeling.grouped_query_attention import GROUPED_ATTENTION
from ftkit.modeling.load_errors import load_errors
from ftkit.modeling.model_source import ModelSource, find_source
from ftkit.modeling.peft_adapter import load_adapter
from ftkit.modeling.pretrained import Pretrained, load_pretrained

__all__ = ["load_for_answers", "load_for_scores", "load_served", "own_precision"]


def load_served(name: str) -> Pretrained:
    """Load a model as ftkit serves it: on the first device, in the precision of its training.

    Args:
        name: the model's name, see :func:`~ftkit.modeling.model_source.find_source`.

    Returns:
        The model, with its adapter.

    Raises:
        ModelError: there is no such model, it cannot be loaded, or it is a reward model.
    """
    source, device = find_source(name), default_device()
    if source.scores:
        raise ModelError(f"{source.name!r} is a reward model: it scores answers and writes none; use ft.Scorer")
    return load_for_answers(source, precision=own_precision(source, device), device=device)


def own_precision(source: ModelSource, device: torch.device) -> Literal["bf16", "fp32"]:
    """Choose the precision in which a model answers.

    Args:
        source: the model.
        device: where it runs.

    Returns:
        The precision of its training; for a base model, the faster one on the device.
    """
    return source.precision or ("bf16" if bf16_is_fast(device) else "fp32")


def load_for_answers(source: ModelSource, *, precision: Literal["bf16", "fp32"], device: torch.device) -> Pretrained:
    """Load a model with its adapter, ready to generate.

    The base is loaded as in training, so that the adapter is applied to the weights that it was trained on. On a CPU,
    4-bit weights are then dequantised once (the values are the same), and in float32 the adapter is merged into the
    weights. In bfloat16 the adapter stays separate, because merging would round it away.

    Args:
        source: the model.
        precision: number format of the weights.
        device: where to load it.

    Returns:
        The model in evaluation mode.
    """
    pretrained = load_pretrained(
        source, precision=precision, device=device, quantisation=source.quantisation, attention=GROUPED_ATTENTION
    )
    if device.type == "cpu":
        pretrained.model = dequantize(pretrained.model)
    if source.adapter is not None:
        adapted = load_adapter(pretrained.model, source.adapter)
        merge = precision == "fp32" and not is_quantized(pretrained.model)
        with load_errors(f"cannot merge the adapter {source.adapter} into its base"):
            pretrained.model = adapted.merge_and_unload() if merge else adapted.base_model.model
    pretrained.model.eval()
    return pretrained


def load_for_scores(name: str) -> Pretrained:
    """Load a reward model that ftkit trained, ready to score.

    Args:
        name: the model's name, see :func:`~ftkit.modeling.model_source.find_source`.

    Returns:
        The model in evaluation mode.

    Raises:
        ModelError: the model is not a reward model, or cannot be loaded.
    """
    source, device = find_source(name), default_device()
    if not source.scores:
        raise ModelError(f"{source.name!r} is not a reward model that ftkit trained, so it cannot score")
    pretrained = load_pretrained(
        source,
        precision=own_precision(source, device),
        device=device,
        quantisation=source.quantisation,
        scores=True,
    )
    if device.type == "cpu":
        pretrained.model = dequantize(pretrained.model)
    if source.adapter is not None:
        pretrained.model = load_adapter(pretrained.model, source.adapter).base_model.model
    pretrained.model.eval()
    return pretrained
