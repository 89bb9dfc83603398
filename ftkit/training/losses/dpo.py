"""Direct preference optimisation (arXiv 2305.18290) and its variants; see :class:`ftkit.recipe.DPO`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn.functional import logsigmoid

from ftkit.modeling.packed_forward import PackedForward
from ftkit.modeling.prefix_tree import PackedSequence
from ftkit.modeling.tokenized_example import Example
from ftkit.recipe import DPO
from ftkit.training.losses.loss import Method, Outcome
from ftkit.training.losses.pairs import count, pair

__all__ = ["dpo_losses", "preferences"]

Tensor = torch.Tensor


def preferences(recipe: DPO) -> Method:
    """Pairs, judged by how much likelier each answer became since training began."""

    def loss(forward: PackedForward, pack: PackedSequence, examples: Sequence[Example]) -> Outcome:
        log_probabilities = forward.sequence_logprobs(pack)
        reference = torch.tensor([one.reference for one in examples], device=log_probabilities.device)
        lengths = torch.tensor(
            [[one.supervised.sum() for one in example.sequences] for example in examples],
            device=log_probabilities.device,
        )
        gains = log_probabilities.view(-1, 2) - reference
        losses = dpo_losses(gains, lengths, recipe)
        rewards = recipe.beta * gains.detach()
        better = rewards[:, 0] > rewards[:, 1]
        figures = {
            "rewards_chosen": float(rewards[:, 0].sum()),
            "rewards_rejected": float(rewards[:, 1].sum()),
            "rewards_margin": float((rewards[:, 0] - rewards[:, 1]).sum()),
            "rewards_accuracy": float(better.sum()),
        }
        return Outcome(losses.sum(), figures)

    return Method(lambda row, chat_template: [pair(row, chat_template)], count, loss, refers=True)


def dpo_losses(gains: Tensor, lengths: Tensor, recipe: DPO) -> Tensor:
    """The loss of each pair [N].

    Args:
        gains: log π − log π_ref of the chosen and the rejected answer, added up over their tokens [N, 2].
        lengths: their supervised tokens [N, 2].
        recipe: β, the kind of loss, and the label smoothing ε.
    """
    if recipe.loss_type in ("ipo", "sigmoid_norm"):
        gains = gains / lengths
    delta = gains[:, 0] - gains[:, 1]
    if recipe.loss_type == "ipo":
        return (delta - 1 / (2 * recipe.beta)) ** 2
    right, wrong = -logsigmoid(recipe.beta * delta), -logsigmoid(-recipe.beta * delta)
    share = recipe.label_smoothing
    if recipe.loss_type == "robust":
        return ((1 - share) * right - share * wrong) / (1 - 2 * share)
    return (1 - share) * right + share * wrong
