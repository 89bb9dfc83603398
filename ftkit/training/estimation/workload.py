"""The workload of a training run as numbers: tokens, packs and generations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from ftkit.recipe import Recipe

if TYPE_CHECKING:
    from ftkit.modeling.tokenized_example import Example
    from ftkit.training.dataloader import TokenRows

__all__ = ["GenerationBatch", "GenerationWorkload", "PackSize", "Step", "Workload", "pack_sizes", "training_workload"]


@dataclass(frozen=True, slots=True)
class PackSize:
    """One pass through the model.

    Attributes:
        tokens: computed tokens T; shared prefixes count once.
        predictions: tokens S that reach the output layer: the supervised ones, or one per sequence for a score head.
        visible: number of pairs of a token and a token that it attends to.
    """

    tokens: int
    predictions: int
    visible: int


Step = tuple[PackSize, ...]
"""The packs of one optimiser step."""


class GenerationBatch(NamedTuple):
    """Answers that are generated together.

    Attributes:
        rows: number of answers.
        prompts: number of different prompts; each is prefilled once.
        width: tokens of the longest of these prompts, without the common prefix; shorter ones are padded.
    """

    rows: int
    prompts: int
    width: int


@dataclass(frozen=True, slots=True)
class GenerationWorkload:
    """Answers that are generated at one time, in batches one after the other.

    Attributes:
        common_prefix: tokens at the start of all prompts, computed once.
        tokens: tokens of each answer.
        batches: the batches.
    """

    common_prefix: int
    tokens: int
    batches: tuple[GenerationBatch, ...]

    @property
    def total_tokens(self) -> int:
        """Tokens of all answers."""
        return self.tokens * sum(batch.rows for batch in self.batches)


@dataclass(frozen=True, slots=True)
class Workload:
    """What a training run computes. If there are many rows, a sample stands for all.

    Attributes:
        rows: training rows of the run.
        sampled_rows: training rows of the sample, to which the other numbers refer.
        tokens: tokens of the sampled rows, before sharing prefixes.
        longest: tokens of the longest sequence, validation rows included.
        steps: packs of the optimiser steps of one epoch over the sampled rows.
        validation_packs: packs of one evaluation on the sampled validation rows.
        validation_scale: validation rows per sampled validation row.
        reference_packs: packs computed once before the first step for the log-probabilities of the reference model.
        comparison_packs: packs computed without gradients over an epoch's steps, before each, on the sampled rows.
        generations: of reinforcement, the generations of each of ``steps``.
        probe_generation: the generation before the first step.
        validation_generation: the generation of one evaluation on the sampled validation rows.
    """

    rows: int
    sampled_rows: int
    tokens: int
    longest: int
    steps: Sequence[Step]
    validation_packs: Step = ()
    validation_scale: float = 1.0
    reference_packs: Step = ()
    comparison_packs: Step = ()
    generations: Sequence[GenerationWorkload] = ()
    probe_generation: GenerationWorkload | None = None
    validation_generation: GenerationWorkload | None = None

    @property
    def all_generations(self) -> list[GenerationWorkload]:
        """Every generation of an epoch, of the probe and of an evaluation, once."""
        return [*self.generations, *filter(None, (self.probe_generation, self.validation_generation))]

    @property
    def no_grad_packs(self) -> Step:
        """All packs that are computed without gradients."""
        return self.validation_packs + self.reference_packs + self.comparison_packs


def training_workload(
    rows: TokenRows,
    recipe: Recipe,
    *,
    shared: bool,
    total_rows: int | None = None,
    validation: TokenRows | None = None,
    total_validation_rows: int | None = None,
) -> Workload:
    """Count what training on given rows computes, packed as the training loop packs it.

    Args:
        rows: the tokenised training rows, or a sample of them.
        recipe: the resolved recipe.
        shared: whether the model can share computation between rows.
        total_rows: number of training rows, if ``rows`` is a sample.
        validation: the tokenised validation rows, or a sample of them.
        total_validation_rows: number of validation rows, if ``validation`` is a sample.

    Returns:
        The workload.
    """

    def packs(examples: Sequence[Example]) -> Step:
        return pack_sizes(examples, recipe, shared=shared, scores=recipe.score_head)

    validation_packs = packs(validation.examples()) if validation else ()
    return Workload(
        rows=total_rows or len(rows.rows),
        sampled_rows=len(rows.rows),
        tokens=rows.tokens,
        longest=max(rows.longest, validation.longest if validation else 0),
        steps=[packs(batch) for batch in rows.batches(0, int(recipe.batch_size), recipe.seed)],
        validation_packs=validation_packs,
        validation_scale=total_validation_rows / len(validation.rows) if validation and total_validation_rows else 1.0,
        reference_packs=packs(rows.examples()) + validation_packs if recipe.needs_reference else (),
    )


def pack_sizes(examples: Sequence[Example], recipe: Recipe, *, shared: bool, scores: bool = False) -> Step:
    """Compute the sizes of the packs in which examples are computed.

    Args:
        examples: tokenised examples.
        recipe: the resolved recipe.
        shared: whether the model can share computation between rows.
        scores: whether each sequence ends in one score.

    Returns:
        One size per pack.
    """
    from ftkit.modeling.prefix_tree import pack_examples

    budget = int(recipe.max_batch_tokens) if shared else 1
    return tuple(
        # A token at position p of its sequence attends to p + 1 tokens, wherever it is in the pack.
        PackSize(
            tokens=len(pack.ids),
            predictions=pack.sequences if scores else len(pack.logit_indices),
            visible=int(pack.positions.sum()) + len(pack.positions),
        )
        for pack, _ in pack_examples(examples, budget, share=shared and recipe.shared_prefix)
    )
