"""Reward models."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from ftkit.recipe.base import Recipe

__all__ = ["RewardModel"]


class RewardModel(Recipe):
    """A model that scores answers, learnt from pairs (Bradley and Terry 1952; Ouyang et al. 2022, arXiv 2203.02155).

    The mean loss over pairs is −log σ(r(chosen) − r(rejected) − margin), with the ``margin`` of each row (0 without
    one; Touvron et al. 2023, arXiv 2307.09288, section 3.2.2). The score r is read off the last token of an answer by a
    linear layer that is trained along with the adapter.
    """

    kind: Literal["reward"] = "reward"
    adapter_rate: ClassVar[float] = 1e-4
    usual_rates: ClassVar[tuple[float, float]] = (1e-6, 1e-3)
    center_rewards_coefficient: float = Field(default=0.0, ge=0.0)
    """Weight of (r(chosen) + r(rejected))², which keeps scores around 0 (Eisenstein et al. 2023, arXiv 2312.09244)."""
