"""The method of a recipe."""

from __future__ import annotations

from ftkit.errors import RefusedError
from ftkit.recipe import DPO, RFT, SFT, Recipe, RewardModel
from ftkit.training.losses.dpo import preferences
from ftkit.training.losses.grpo import reinforcement
from ftkit.training.losses.loss import Method
from ftkit.training.losses.reward_model import rewards
from ftkit.training.losses.sft import demonstrations

__all__ = ["method_of"]


def method_of(recipe: Recipe) -> Method:
    """How the local engine trains what ``recipe`` asks for.

    Raises:
        RefusedError: it does not train that.
    """
    if isinstance(recipe, SFT):
        return demonstrations()
    if isinstance(recipe, DPO):
        return preferences(recipe)
    if isinstance(recipe, RewardModel):
        return rewards(recipe)
    if isinstance(recipe, RFT):
        return reinforcement(recipe)
    raise RefusedError(f"the local engine does not train {recipe.kind!r}", backend="local", fields=("kind",))
