"""The method of a recipe."""

from __future__ import annotations

from ftkit.engine.methods.demonstrations import demonstrations
from ftkit.engine.methods.method import Method
from ftkit.engine.methods.preferences import preferences
from ftkit.engine.methods.reinforcement import reinforcement
from ftkit.engine.methods.rewards import rewards
from ftkit.errors import RefusedError
from ftkit.recipe import DPO, RFT, SFT, Recipe, RewardModel

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
