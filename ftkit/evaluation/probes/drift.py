"""How far a tuned model has moved from its base, measured by probabilities. Local models give them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftkit.evaluation.statistics import bca_interval, resample
from ftkit.results.probe_results import TextLosses

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["loss_change", "mean_with_interval"]


def loss_change(before: TextLosses, after: TextLosses, seed: int) -> tuple[float, float, float] | None:
    """Compute the change of the mean loss between two models on the same passages.

    Args:
        before: losses of the first model, in nats.
        after: losses of the second model.
        seed: seed of the bootstrap.

    Returns:
        The change in nats per token and its paired 95 % interval; None if the models tokenise differently.
    """
    import numpy as np

    if before.tokens != after.tokens:
        return None
    differences = np.array(after.nll) - np.array(before.nll)
    return mean_with_interval(differences, np.array(before.tokens, dtype=np.float64), seed)


def mean_with_interval(
    sums: NDArray[np.float64], weights: NDArray[np.float64], seed: int
) -> tuple[float, float, float]:
    """Compute a ratio of sums, ``Σ sums / Σ weights``, with its 95 % bootstrap interval over the entries.

    Args:
        sums: shape ``[n]``.
        weights: shape ``[n]``, e.g. numbers of tokens.
        seed: seed of the bootstrap.

    Returns:
        The ratio, and the ends of its interval (both the ratio itself if n is 1).
    """
    import numpy as np

    table = np.stack([sums, weights], axis=1)
    total = table.sum(axis=0)
    value = float(total[0] / total[1])
    samples, leave_one_out = resample(table, seed=seed), total - table
    if len(table) < 2:
        return value, value, value
    jackknife = leave_one_out[:, 0] / leave_one_out[:, 1]
    low, high = bca_interval(value, samples[:, 0] / samples[:, 1], jackknife, 0.95)
    return value, low, high
