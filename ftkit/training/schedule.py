"""The learning rate of each step."""

from __future__ import annotations

import math
from typing import Any

__all__ = ["learning_rate"]


def learning_rate(recipe: Any, step: int, total_steps: int) -> float:
    """Compute the learning rate of a step: a linear warm-up, then the recipe's decay to 0 after the last step.

    Args:
        recipe: resolved.
        step: from 1.
        total_steps: optimiser steps of the whole run.

    Returns:
        The rate.
    """
    peak = float(recipe.learning_rate)
    warmup = math.ceil(recipe.warmup_ratio * total_steps)
    if step <= warmup:
        return float(peak * step / warmup)
    if recipe.lr_scheduler_type == "constant":
        return peak
    done = (step - 1 - warmup) / max(1, total_steps - warmup)
    left = 1 - done if recipe.lr_scheduler_type == "linear" else 0.5 * (1 + math.cos(math.pi * done))
    return float(peak * left)
