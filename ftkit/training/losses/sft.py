"""Supervised fine-tuning: the mean negative log-likelihood of the supervised tokens."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from typing_extensions import override

from ftkit.data import Row
from ftkit.modeling.chat_template import ChatTemplate
from ftkit.modeling.packed_forward import PackedForward
from ftkit.modeling.prefix_tree import PackedSequence
from ftkit.modeling.thought_mask import mask_thoughts
from ftkit.modeling.tokenized_example import Example
from ftkit.recipe import SFT
from ftkit.training.losses.base import Loss, LossOutput, RecipeT

__all__ = ["NegativeLogLikelihood", "SFTLoss", "supervised_tokens"]


class NegativeLogLikelihood(Loss[RecipeT]):
    """The mean negative log-likelihood of the supervised tokens."""

    @override
    def compute(self, forward: PackedForward, pack: PackedSequence, examples: Sequence[Example]) -> LossOutput:
        is_argmax = torch.empty(len(pack.logit_indices), dtype=torch.bool, device=forward.device)
        total = forward.loss(pack, is_argmax=is_argmax)[0]
        # A prediction that several rows share counts for each of them, as in the loss.
        return LossOutput(total, {"token_accuracy": float(pack.weights[is_argmax.cpu().numpy()].sum())})

    @override
    def size(self, examples: Sequence[Example]) -> float:
        return supervised_tokens(examples)


class SFTLoss(NegativeLogLikelihood[SFT]):
    """Each row is one example, or one per supervised turn where the chat template rewrites history."""

    @override
    def render(self, row: Row, chat_template: ChatTemplate) -> list[Example]:
        row.require_answer()
        sequences = chat_template.encode_examples(row.messages, row.tools, row.place)
        if not getattr(self.recipe, "train_reasoning", True):  # recipes of other packages use this loss, too
            sequences = [mask_thoughts(sequence, chat_template, row.place) for sequence in sequences]
        return [Example((sequence,)) for sequence in sequences]


def supervised_tokens(examples: Sequence[Example]) -> float:
    """Count the supervised tokens of a batch.

    Args:
        examples: the batch.

    Returns:
        Tokens that carry loss, over all sequences.
    """
    return float(sum(sequence.supervised.sum() for example in examples for sequence in example.sequences))
