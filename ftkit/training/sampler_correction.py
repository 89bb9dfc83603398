"""What a sampler computes otherwise than the trainer: weights that correct for it, figures, and a bound.

Truncated importance sampling: Yao et al. 2025, "Your Efficient RL Framework Secretly Brings You Off-Policy Training".
The masks are those of TRL 1.16 (``GRPOTrainer``, ``vllm_importance_sampling_mode``), and so are the numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ftkit.errors import TrainingError
from ftkit.modeling.tokenized_example import Floats
from ftkit.recipe import RFT

__all__ = ["check_difference", "correction_weights", "difference_metrics"]


def correction_weights(trainer: Floats, sampler: Floats, recipe: RFT) -> tuple[Floats, int]:
    """Weigh the tokens of one answer by π_trainer/π_sampler, within the recipe's limit.

    Args:
        trainer: log-probability of each token when it was sampled, computed by the trainer, float32 ``[tokens]``.
        sampler: the same, computed by the sampler.
        recipe: how to correct, and the limit.

    Returns:
        The weight of each token, float32 ``[tokens]``, and how many of the ratios were above the limit.
    """
    difference = trainer - sampler
    if recipe.rollout_correction is None:
        return np.ones_like(difference), 0
    level, _, above = recipe.rollout_correction.partition("_")
    if level == "sequence":
        difference = np.full_like(difference, difference.sum())
    with np.errstate(over="ignore"):  # infinite is above the limit
        ratios = np.exp(difference)
    limit = np.float32(recipe.rollout_correction_clip_max)
    outside = ratios > limit
    return np.where(outside, limit if above == "truncate" else np.float32(0), ratios), int(outside.sum())


def difference_metrics(
    trainer: Sequence[Floats], sampler: Sequence[Floats], weights: Sequence[Floats], above: int
) -> dict[str, float]:
    """Summarise the difference between sampler and trainer over the tokens of a step.

    The mean difference and the mean ratio are among the metrics of the loss.

    Args:
        trainer: log-probabilities of each answer's tokens by the trainer.
        sampler: the same by the sampler.
        weights: what the tokens are weighted by.
        above: how many ratios were above the limit.

    Returns:
        ``sampler_difference_max`` in nats, ``correction_weight`` (the mean) and ``correction_limited_share``; nothing
        of no answers.
    """
    if not trainer:
        return {}
    differences, weighted = np.concatenate(trainer) - np.concatenate(sampler), np.concatenate(weights)
    return {
        "sampler_difference_max": float(np.abs(differences).max()),
        "correction_weight": float(weighted.mean(dtype=np.float64)),
        "correction_limited_share": above / len(weighted),
    }


def check_difference(step: int, trainer: Sequence[Floats], sampler: Sequence[Floats], recipe: RFT) -> None:
    """Stop a run whose answers are not samples of the model that is trained.

    Args:
        step: the optimiser step.
        trainer: log-probabilities of each answer's tokens by the trainer.
        sampler: the same by the sampler.
        recipe: the recipe.

    Raises:
        TrainingError: the mean difference is above the recipe's bound, or no number.
    """
    if not trainer:
        return
    differences = np.abs(np.concatenate(trainer) - np.concatenate(sampler)).astype(np.float64)
    mean, limit = float(differences.mean()), recipe.max_sampler_difference
    if limit is None or mean <= limit:
        return
    raise TrainingError(
        f"step {step}: the log-probabilities of rollouts={recipe.sampled_by.kind!r} and of the trainer differ by "
        f"{mean:.3g} nats per token on average (at most {differences.max():.3g}, {len(differences):,} tokens), above "
        f"max_sampler_difference={limit:g}, so the answers are not samples of the model in training. Nothing was "
        "learned from them. Likely causes: the server holds other base weights (a quantised base, another revision), "
        "computes in another precision, or reports log-probabilities at another temperature. rollout_correction mends "
        'small differences alone; remove the cause, take rollouts="torch", or raise max_sampler_difference'
    )
