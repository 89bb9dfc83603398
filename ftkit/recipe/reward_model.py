"""Reward models."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from ftkit.error_text import Argument, ErrorText
from ftkit.recipe.base import Recipe

__all__ = ["RewardModel"]


class RewardModel(Recipe):
    """A model that scores answers, learned from pairs (Bradley and Terry 1952; Ouyang et al. 2022, arXiv 2203.02155).

    The mean loss over pairs is −log σ(r(chosen) − r(rejected) − margin), with the ``margin`` of each row (0 without
    one; Touvron et al. 2023, arXiv 2307.09288, section 3.2.2). A linear layer, trained along with the adapter, computes
    the score r from the last token of an answer.
    """

    loss_class: ClassVar[str | type] = "ftkit.training.losses.reward_model:RewardModelLoss"
    rows: ClassVar[tuple[str, ...]] = ("preferences",)
    rows_hint: ClassVar[str] = ErrorText(
        "name the columns with ", Argument("chosen", "…"), " and ", Argument("rejected", "…"), ", or train with SFT"
    )
    score_head: ClassVar[bool] = True
    adapter_rate: ClassVar[float] = 1e-4
    usual_rates: ClassVar[tuple[float, float]] = (1e-6, 1e-3)

    kind: Literal["reward"] = "reward"
    center_rewards_coefficient: float = Field(default=0.0, ge=0.0)
    """Weight of (r(chosen) + r(rejected))², which keeps scores around 0 (Eisenstein et al. 2023, arXiv 2312.09244)."""
