"""The optimiser, and how far a step of it moves the weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from ftkit.training.worker_group import ALONE, WorkerGroup, local_part

__all__ = ["UpdateRatio", "make_optimizer"]

_SAMPLE = 4_000_000
"""Weights whose movement is measured at most: all of an adapter, a sample of a whole model."""


def make_optimizer(recipe: Any, parameters: Sequence[torch.nn.Parameter]) -> Any:
    """Make the optimiser of a recipe.

    Args:
        recipe: resolved.
        parameters: the trainable tensors.

    Returns:
        ``torch.optim.AdamW``, or bitsandbytes' paged 8-bit AdamW.
    """
    # Weight decay pulls towards zero, which makes no sense for norms and biases.
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if recipe.optimizer == "paged_adamw_8bit":
        from bitsandbytes.optim import PagedAdamW8bit

        return PagedAdamW8bit(groups, lr=recipe.learning_rate)
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, fused=True)


class UpdateRatio:
    """The update-to-weight ratio ‖Δθ‖/‖θ‖ of a step, over the trained weights or an even sample of their tensors.

    About 1e-3 is a rule of thumb for whole models; adapters start at zero and move faster.

    Args:
        parameters: the trainable tensors.
        workers: those that train together, each of which may hold a part of them.
    """

    def __init__(self, parameters: Sequence[torch.nn.Parameter], workers: WorkerGroup = ALONE) -> None:
        self._workers = workers
        total = sum(p.numel() for p in parameters)
        # An odd stride: adapters come in pairs, and both A and B must be sampled.
        stride = -(-total // _SAMPLE) | 1
        self._sampled = list(parameters[::stride]) or list(parameters)
        self._before: list[torch.Tensor] = []

    def before_update(self) -> None:
        """Remember the weights before the optimiser's step."""
        self._before = [local_part(p).clone() for p in self._sampled]

    def after_update(self) -> float:
        """Compare the weights after the optimiser's step.

        Returns:
            The ratio.
        """
        pairs = zip(self._sampled, self._before, strict=True)
        moved = torch.stack([(local_part(p) - old).norm() for p, old in pairs]).norm()
        size = torch.stack([old.norm() for old in self._before]).norm()
        self._before = []
        parts = self._workers.gather((float(moved), float(size)))  # of whole tensors: the same at each worker
        return math.hypot(*(part for part, _ in parts)) / max(math.hypot(*(part for _, part in parts)), 1e-12)
