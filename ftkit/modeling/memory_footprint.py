"""How much memory a model takes to answer, before it is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ftkit.errors import ModelError
from ftkit.modeling.device import default_device
from ftkit.modeling.load_for_inference import own_precision
from ftkit.modeling.model_shape import model_shape
from ftkit.modeling.model_source import ModelSource
from ftkit.modeling.pretrained import load_config

__all__ = ["adapter_bytes", "free_bytes", "weight_bytes"]


def weight_bytes(source: ModelSource) -> int:
    """Bytes of the base's weights as they are held to answer; 0 for a family whose shape is not known.

    Raises:
        ModelError: the base's config cannot be read.
    """
    where = default_device()
    config = load_config(source).to_dict()
    try:
        shape = model_shape(config)
    except ModelError:
        return 0
    each = 2 if own_precision(source, where) == "bf16" else 4
    if source.quantisation is None or where.type == "cpu":  # 4-bit weights are expanded on CPU
        return shape.parameters * each
    return (shape.parameters - shape.linear_weights) * each + shape.linear_weights * 9 // 16


def adapter_bytes(folder: Path) -> int:
    """Bytes of an adapter's weights, held in float32 as PEFT does."""
    return sum(file.stat().st_size for file in folder.glob("adapter_model.*"))


def free_bytes() -> int:
    """Bytes of memory that nothing uses yet: of the GPU where there is one, else of the machine."""
    if default_device().type == "cuda":
        return int(torch.cuda.mem_get_info()[0])
    psutil: Any = __import__("psutil")
    return int(psutil.virtual_memory().available)
