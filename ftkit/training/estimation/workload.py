"""How much there is to compute: the packs of a run, as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from ftkit.recipe import Recipe

if TYPE_CHECKING:
    from ftkit.modeling.tokenized_example import Example
    from ftkit.training.dataloader import TokenRows

__all__ = ["Batch", "Drawing", "PackSize", "Step", "Work", "packed", "work_of"]


@dataclass(frozen=True, slots=True)
class PackSize:
    """One pass through the model.

    Attributes:
        tokens: tokens computed, shared beginnings once, T.
        predictions: tokens that reach the output layer, S: the supervised ones, or one a sequence where it scores.
        visible: pairs of a token and a token that it attends to.
    """

    tokens: int
    predictions: int
    visible: int


Step = tuple[PackSize, ...]
"""The packs of one optimiser step."""


class Batch(NamedTuple):
    """Answers that are drawn together.

    Attributes:
        rows: how many.
        prompts: how many different prompts they answer; each is computed once.
        width: tokens of the longest of these prompts, without what all prompts begin with; shorter ones are padded.
    """

    rows: int
    prompts: int
    width: int


@dataclass(frozen=True, slots=True)
class Drawing:
    """Answers that the model draws at one time, a token of each after the other.

    Attributes:
        common: tokens that all prompts begin with, computed once.
        tokens: of each answer.
        batches: drawn one after the other.
    """

    common: int
    tokens: int
    batches: tuple[Batch, ...]

    @property
    def drawn(self) -> int:
        """Tokens of all answers."""
        return self.tokens * sum(one.rows for one in self.batches)


@dataclass(frozen=True, slots=True)
class Work:
    """What a run computes. Of many rows a sample may stand for all.

    Attributes:
        rows: training rows of the run.
        counted: those of them that the other numbers are of.
        tokens: tokens of the counted rows, before any sharing.
        longest: tokens of the longest sequence, validation rows included.
        steps: packs of the optimiser steps of an epoch over the counted rows.
        look: packs of one look at the loss of the counted validation rows.
        looked: validation rows for each counted one.
        reference: packs that are computed once, before the first step, to know what preferences are compared with.
        draws: of reinforcement, what is drawn for each of ``steps``.
        probe: what is drawn before the first step.
        answered: what is drawn in one look at the counted validation rows.
    """

    rows: int
    counted: int
    tokens: int
    longest: int
    steps: Sequence[Step]
    look: Step = ()
    looked: float = 1.0
    reference: Step = ()
    draws: Sequence[Drawing] = ()
    probe: Drawing | None = None
    answered: Drawing | None = None

    @property
    def drawings(self) -> list[Drawing]:
        """All that is drawn, an epoch's once."""
        return [*self.draws, *filter(None, (self.probe, self.answered))]

    @property
    def passes(self) -> Step:
        """All packs that are computed without gradients."""
        return self.look + self.reference


def work_of(
    rows: TokenRows,
    recipe: Recipe,
    *,
    shared: bool,
    of_rows: int | None = None,
    held_out: TokenRows | None = None,
    of_held_out: int | None = None,
) -> Work:
    """What training on ``rows`` computes, packed as the loop packs it.

    Args:
        rows: the rendered training rows, or a sample of them.
        recipe: resolved.
        shared: whether the model can share computation between rows.
        of_rows: how many training rows there are, when ``rows`` is a sample.
        held_out: the rendered validation rows, or a sample of them.
        of_held_out: how many there are, when it is a sample.
    """

    def made(examples: Sequence[Example]) -> Step:
        return packed(examples, recipe, shared=shared, scores=recipe.score_head)

    count = len(rows.rows)
    look = made(held_out.examples()) if held_out else ()
    return Work(
        rows=of_rows or count,
        counted=count,
        tokens=rows.tokens,
        longest=max(rows.longest, held_out.longest if held_out else 0),
        steps=[made(batch) for batch in rows.batches(0, int(recipe.batch_size), recipe.seed)],
        look=look,
        looked=of_held_out / len(held_out.rows) if held_out and of_held_out else 1.0,
        reference=made(rows.examples()) + look if recipe.needs_reference else (),
    )


def packed(examples: Sequence[Example], recipe: Recipe, *, shared: bool, scores: bool = False) -> Step:
    """The packs that ``examples`` are computed in.

    Args:
        recipe: resolved.
        shared: whether the model can share computation between rows.
        scores: whether a sequence ends in one score.
    """
    from ftkit.modeling.prefix_tree import pack_examples

    budget = int(recipe.max_batch_tokens) if shared else 1
    return tuple(
        # A token at position p of its sequence attends to p + 1 tokens, wherever the pack has put them.
        PackSize(
            tokens=len(one.ids),
            predictions=one.sequences if scores else len(one.logit_indices),
            visible=int(one.positions.sum()) + len(one.positions),
        )
        for one, _ in pack_examples(examples, budget, share=shared and recipe.shared_prefix)
    )
