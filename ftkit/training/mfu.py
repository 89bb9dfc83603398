"""Model FLOPs utilisation (MFU): of what the device could compute in the time a step took, the share that the model
needed (Chowdhery et al. 2022, arXiv 2204.02311, appendix B).

A token needs 2 operations for each weight of the layers' matrices forward and 2 for the gradients that pass through
them, 4N with a frozen base; where the weights themselves are trained 2 more, 6N. The output layer counts likewise, for
the predictions that reach it. Tokens are those really computed, shared beginnings once. Attention's products, adapters
and activations that are computed again are not counted, so a value near 1 is out of reach.
"""

from __future__ import annotations

from typing import Any

import torch

from ftkit.catalog import load_catalog
from ftkit.errors import FtkitError
from ftkit.modeling.model_shape import ModelShape, model_shape
from ftkit.recipe import Recipe
from ftkit.training.estimation.machine_speed import dense_rate
from ftkit.training.estimation.memory_model import compute_precision

__all__ = ["Utilisation", "model_operations"]


def model_operations(shape: ModelShape, recipe: Recipe, tokens: int, predictions: int) -> int:
    """Floating-point operations that training on ``tokens`` needs, ``predictions`` of which reach the output layer."""
    each = 6 if recipe.adapter.trains_base_weights else 4
    return each * (shape.linear_weights * tokens + shape.head.weights * predictions)


class Utilisation:
    """How well a run uses its device. Where that cannot be known, every share is ``None``; nothing is ever raised.

    Args:
        recipe: resolved.
        config: the model's transformers config.
        where: the device.
        scores: the model ends in a score.
    """

    def __init__(self, recipe: Recipe, config: Any, where: torch.device, *, scores: bool) -> None:
        self.recipe = recipe
        self.shape: ModelShape | None = None
        self.peak: float | None = None
        """Operations a second of the device."""
        self.basis = "data sheet"
        try:
            self.shape = model_shape(config.get_text_config().to_dict(), scores=scores)
            precision = compute_precision(recipe)
            gpu = load_catalog().gpu_rates(torch.cuda.get_device_name(where)) if where.type == "cuda" else None
            if gpu is None:
                self.basis = "measured"
            self.peak = dense_rate(precision) if gpu is None else gpu.rate(precision)
        except (FtkitError, OSError, RuntimeError):  # layers that are not known, a full disk, a full GPU
            return

    def about(self) -> dict[str, Any]:
        """What the shares are of, for the record of a run."""
        return {} if self.peak is None else {"peak_flops": round(self.peak), "peak_flops_basis": self.basis}

    def of(self, tokens: int, predictions: int, seconds: float) -> float | None:
        """The share of the device's peak that a step reached, 0 to 1."""
        if self.shape is None or self.peak is None:
            return None
        return round(model_operations(self.shape, self.recipe, tokens, predictions) / seconds / self.peak, 4)
