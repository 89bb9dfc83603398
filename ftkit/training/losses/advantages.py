"""Advantages and token weights of group-relative policy optimisation; see :class:`ftkit.recipe.RFT` for the papers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ftkit.recipe import RFT

__all__ = ["advantages", "token_weights"]

Rewards = NDArray[np.floating[Any]]

_STD_EPSILON = 1e-4
"""Added to a group's standard deviation."""


def advantages(rewards: Rewards, recipe: RFT) -> Rewards:
    """Compute how much better each answer is than the others of its group.

    Args:
        rewards: ``[groups, answers per group]``.
        recipe: its :attr:`~ftkit.recipe.RFT.advantage` chooses the formula.

    Returns:
        Advantages ``[groups, answers per group]``.
    """
    count = rewards.shape[1]
    centred: Rewards = rewards - rewards.mean(axis=1, keepdims=True)
    if recipe.advantage == "rloo":  # r − (sum − r)/(count − 1)
        centred = centred * (count / (count - 1))
    elif recipe.advantage == "grpo":
        centred = centred / (rewards.std(axis=1, ddof=1, keepdims=True) + _STD_EPSILON)
    return centred


def token_weights(lengths: Sequence[int], recipe: RFT) -> list[float]:
    """Compute the weight of each token of each answer, so that the weighted sum over tokens is the loss of the batch.

    Args:
        lengths: unmasked tokens of each answer, 0 where the whole answer is masked.
        recipe: its :attr:`~ftkit.recipe.RFT.loss_type` chooses what the sum is divided by.

    Returns:
        One weight per answer.
    """
    count = len(lengths)
    if recipe.loss_type == "dapo":
        return [1 / max(1, sum(lengths))] * count
    if recipe.loss_type == "dr_grpo":
        return [1 / (count * recipe.max_output_tokens)] * count
    return [1 / (count * max(1, length)) for length in lengths]
