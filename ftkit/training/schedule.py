"""The learning rate of each step."""

from __future__ import annotations

import math
from typing import Any

__all__ = ["learning_rate"]


def learning_rate(recipe: Any, step: int, total: int) -> float:
    """Rate of ``step`` (from 1) of ``total``: a linear climb, then the recipe's fall to 0 after the last step."""
    peak = float(recipe.learning_rate)
    warmup = math.ceil(recipe.warmup_ratio * total)
    if step <= warmup:
        return float(peak * step / warmup)
    if recipe.lr_scheduler_type == "constant":
        return peak
    done = (step - 1 - warmup) / max(1, total - warmup)
    left = 1 - done if recipe.lr_scheduler_type == "linear" else 0.5 * (1 + math.cos(math.pi * done))
    return float(peak * left)
