"""How much there is to compute: the packs of a run's steps, as numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftkit.recipe import Recipe

if TYPE_CHECKING:
    from ftkit.engine.rendered import Rendered
    from ftkit.engine.rows import TokenRows

__all__ = ["PackSize", "Step", "look_of", "steps_of"]


@dataclass(frozen=True, slots=True)
class PackSize:
    """One pass through the model.

    Attributes:
        tokens: tokens computed, shared beginnings once, T.
        supervised: predictions that reach the output layer, S.
        visible: pairs of a token and a token that it attends to.
    """

    tokens: int
    supervised: int
    visible: int


Step = tuple[PackSize, ...]
"""The packs of one optimiser step."""


def steps_of(rows: TokenRows, recipe: Recipe, *, shared: bool) -> list[Step]:
    """The steps of the first epoch, packed as the training loop packs them.

    Args:
        recipe: resolved.
        shared: whether the model can share computation between rows.
    """
    batch_size, seed = int(recipe.batch_size), recipe.seed
    return [_step(batch, recipe, shared=shared) for batch in rows.batches(0, batch_size, seed)]


def look_of(rows: TokenRows, recipe: Recipe, *, shared: bool) -> Step:
    """The packs of one look at the loss of validation rows."""
    return _step(rows.sequences(), recipe, shared=shared)


def _step(sequences: list[Rendered], recipe: Recipe, *, shared: bool) -> Step:
    from ftkit.engine.tree import packs_within

    budget = int(recipe.max_batch_tokens) if shared else 1
    return tuple(
        # A token at position p of its sequence attends to p + 1 tokens, wherever the pack has put them.
        PackSize(len(one.ids), len(one.at), int(one.positions.sum()) + len(one.positions))
        for one in packs_within(sequences, budget, share=shared and recipe.shared_prefix)
    )
