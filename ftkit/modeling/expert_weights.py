"""Experts that a model holds in one tensor for all experts of a layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

__all__ = ["ExpertWeights", "expert_weights"]


@dataclass(frozen=True, slots=True)
class ExpertWeights:
    """The weights of all experts of a layer, of one kind.

    Attributes:
        path: full name of the module that holds them.
        count: number of weights.
        dtype: type in which they are held.
    """

    path: str
    count: int
    dtype: torch.dtype


def expert_weights(model: Any) -> list[ExpertWeights]:
    """List the fused experts of a model.

    Args:
        model: a transformers model, with or without adapters.

    Returns:
        One entry for each tensor of three dimensions.
    """
    found = []
    for path, module in model.named_modules():
        kind = type(module).__name__.lower()
        if "expert" not in kind and "expert" not in path and ".moe" not in path and "_moe" not in path:
            continue
        if isinstance(module, torch.nn.modules.conv._ConvNd):
            continue
        found += [
            ExpertWeights(path, parameter.numel(), parameter.dtype)
            for parameter in module.parameters(recurse=False)
            if parameter.dim() == 3 and parameter.is_floating_point()
        ]
    return found
