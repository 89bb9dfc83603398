"""How far a tuned model has moved from its base, measured by probabilities. Local models give them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftkit.evaluation.statistics import clustered_scores, score_interval
from ftkit.results.probe_results import TextLosses

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["loss_change", "mean_with_interval"]


def loss_change(before: TextLosses, after: TextLosses) -> tuple[float, float, float] | None:
    """Compute the change of the mean loss between two models on the same passages.

    Args:
        before: losses of the first model, in nats.
        after: losses of the second model.

    Returns:
        The change in nats per token and its paired 95 % interval; None if the models tokenise differently.
    """
    import numpy as np

    if before.tokens != after.tokens:
        return None
    differences = np.array(after.nll) - np.array(before.nll)
    return mean_with_interval(differences, np.array(before.tokens, dtype=np.float64))


def mean_with_interval(sums: NDArray[np.float64], weights: NDArray[np.float64]) -> tuple[float, float, float]:
    """Compute a ratio of sums, ``Σ sums / Σ weights``, with its 95 % interval over the entries.

    Args:
        sums: shape ``[n]``.
        weights: shape ``[n]``, e.g. numbers of tokens.

    Returns:
        The ratio, and the ends of its interval (both the ratio itself if n is 1).
    """
    import numpy as np

    scores = clustered_scores(sums, weights, np.arange(len(sums)))
    if len(sums) < 2:
        return scores.mean, scores.mean, scores.mean
    return scores.mean, *score_interval(scores, 0.95, None)
