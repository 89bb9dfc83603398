"""Estimate the memory of a model for inference before loading it."""

from __future__ import annotations

from pathlib import Path

from ftkit.errors import ModelError
from ftkit.modeling.device import default_device, free_memory_bytes
from ftkit.modeling.load_for_inference import own_precision
from ftkit.modeling.model_shape import model_shape
from ftkit.modeling.model_source import ModelSource
from ftkit.modeling.pretrained import load_config

__all__ = ["adapter_bytes", "free_bytes", "weight_bytes"]


def weight_bytes(source: ModelSource) -> int:
    """Compute the size of the base model's weights in memory at inference.

    Args:
        source: the model.

    Returns:
        Bytes; 0 for a model family whose shape is not known.

    Raises:
        ModelError: the base's config cannot be read.
    """
    device = default_device()
    config = load_config(source).to_dict()
    try:
        shape = model_shape(config)
    except ModelError:
        return 0
    bytes_per_weight = 2 if own_precision(source, device) == "bf16" else 4
    if source.quantisation is None or device.type == "cpu":  # 4-bit weights are expanded on CPU
        return shape.parameters * bytes_per_weight
    return (shape.parameters - shape.linear_weights) * bytes_per_weight + shape.linear_weights * 9 // 16


def adapter_bytes(folder: Path) -> int:
    """Return the size of an adapter's weights, which PEFT holds in float32.

    Args:
        folder: the adapter's folder.

    Returns:
        Bytes.
    """
    return sum(file.stat().st_size for file in folder.glob("adapter_model.*"))


def free_bytes() -> int:
    """Return the free memory of the default device.

    Returns:
        Bytes of the GPU if there is one, else of the machine.
    """
    return free_memory_bytes(default_device())
