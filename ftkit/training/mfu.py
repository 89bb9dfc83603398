"""Model FLOPs utilisation (MFU): the share of the device's peak that a training step reaches.

Source: Chowdhery et al. 2022, arXiv 2204.02311, appendix B.

A token needs 2 operations per weight of the layers' matrices in the forward pass, and 2 for the gradients of their
inputs: 4N with a frozen base. Trained weights need 2 more: 6N. Layers below the lowest adapter need 2N. The output
layer counts likewise, for the predictions that reach it. Tokens are those really computed, with shared prefixes once.
Attention's products, adapters and recomputed activations are not counted, so a value near 1 is out of reach.
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
from ftkit.training.estimation.trained_part import trained_layers

__all__ = ["FlopsUtilisation", "model_operations"]


def model_operations(shape: ModelShape, recipe: Recipe, tokens: int, predictions: int) -> int:
    """Count the floating-point operations that a step needs.

    Args:
        shape: the model's sizes.
        recipe: resolved.
        tokens: tokens computed.
        predictions: those of them that reach the output layer.

    Returns:
        Operations of the forward and the backward pass.
    """
    per_weight = 6 if recipe.adapter.trains_base_weights else 4
    below = shape.layers - trained_layers(shape, recipe)
    layers = per_weight * shape.linear_weights - 2 * below * shape.linear_weights // shape.layers
    return layers * tokens + per_weight * shape.head.weights * predictions


class FlopsUtilisation:
    """How well a run uses its device. Raises nothing: what cannot be known is ``None``.

    Args:
        recipe: resolved.
        config: the model's transformers config.
        device: where the model is.
        scores: whether the model ends in a score.

    Attributes:
        peak: floating-point operations per second of the device.
        basis: ``"data sheet"`` or ``"measured"``.
    """

    def __init__(self, recipe: Recipe, config: Any, device: torch.device, *, scores: bool) -> None:
        self.recipe = recipe
        self.shape: ModelShape | None = None
        self.peak: float | None = None
        self.basis = "data sheet"
        try:
            self.shape = model_shape(config.get_text_config().to_dict(), scores=scores)
            precision = compute_precision(recipe)
            gpu = load_catalog().gpu_rates(torch.cuda.get_device_name(device)) if device.type == "cuda" else None
            if gpu is None:
                self.basis = "measured"
            self.peak = dense_rate(precision) if gpu is None else gpu.rate(precision)
        except (FtkitError, OSError, RuntimeError):  # unknown layers, a full disk, a full GPU
            return

    def describe(self) -> dict[str, Any]:
        """Describe the peak that shares refer to.

        Returns:
            Entries for the record of a run; empty when the peak is not known.
        """
        return {} if self.peak is None else {"peak_flops": round(self.peak), "peak_flops_basis": self.basis}

    def of_step(self, tokens: int, predictions: int, seconds: float) -> float | None:
        """Compute the utilisation of a step.

        Args:
            tokens: tokens computed.
            predictions: those of them that reach the output layer.
            seconds: the time it took.

        Returns:
            The share of the device's peak, 0 to 1; ``None`` if a step was faster than the peak, which was then measured
            while the machine was busy.
        """
        if self.shape is None or self.peak is None:
            return None
        share = model_operations(self.shape, self.recipe, tokens, predictions) / seconds / self.peak
        return round(share, 4) if share <= 1 else None
