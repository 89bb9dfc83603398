"""How far a tuned model has moved from its base, from probabilities; only where the place that answers gives them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftkit.evaluation.statistics import bca_interval, resample
from ftkit.results.probe_results import TextLosses

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["loss_change", "mean_with_interval"]


def loss_change(before: TextLosses, after: TextLosses, seed: int) -> tuple[float, float, float] | None:
    """Change of the mean loss in nats a token, with its paired 95 % interval; ``None`` when the tokens differ."""
    import numpy as np

    if before.tokens != after.tokens:
        return None
    moved = np.array(after.nll) - np.array(before.nll)
    return mean_with_interval(moved, np.array(before.tokens, dtype=np.float64), seed)


def mean_with_interval(
    sums: NDArray[np.float64], weights: NDArray[np.float64], seed: int
) -> tuple[float, float, float]:
    """``Σ sums / Σ weights`` with its 95 % interval, drawing the entries."""
    import numpy as np

    table = np.stack([sums, weights], axis=1)
    total = table.sum(axis=0)
    value = float(total[0] / total[1])
    drawn, left_out = resample(table, seed=seed), total - table
    if len(table) < 2:
        return value, value, value
    low, high = bca_interval(value, drawn[:, 0] / drawn[:, 1], left_out[:, 0] / left_out[:, 1], 0.95)
    return value, low, high
