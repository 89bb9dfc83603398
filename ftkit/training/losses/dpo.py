"""Direct preference optimisation (arXiv 2305.18290) and its variants; see :class:`ftkit.recipe.DPO`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn.functional import logsigmoid
from typing_extensions import override

from ftkit.data import Row
from ftkit.modeling.chat_template import ChatTemplate
from ftkit.modeling.packed_forward import PackedForward
from ftkit.modeling.prefix_tree import PackedSequence
from ftkit.modeling.tokenized_example import Example
from ftkit.recipe import DPO
from ftkit.training.losses.base import Loss, LossOutput
from ftkit.training.losses.preference_pairs import answer_lengths, render_pair, reward_metrics

__all__ = ["DPOLoss", "dpo_losses"]

Tensor = torch.Tensor


class DPOLoss(Loss[DPO]):
    """The loss of pairs, from how much likelier each answer became since training began."""

    @override
    def render(self, row: Row, chat_template: ChatTemplate) -> list[Example]:
        return [render_pair(row, chat_template)]

    @override
    def compute(self, forward: PackedForward, pack: PackedSequence, examples: Sequence[Example]) -> LossOutput:
        logprobs = forward.sequence_logprobs(pack)
        reference = torch.tensor([example.reference for example in examples], device=logprobs.device)
        logratios = logprobs.view(-1, 2) - reference
        losses = dpo_losses(logratios, answer_lengths(examples, logprobs.device), self.recipe)
        return LossOutput(losses.sum(), reward_metrics(self.recipe.beta * logratios.detach()))


def dpo_losses(logratios: Tensor, lengths: Tensor, recipe: DPO) -> Tensor:
    """Compute the loss of each of N pairs.

    Args:
        logratios: log π − log π_ref of the chosen and the rejected answer, summed over their tokens ``[N, 2]``.
        lengths: their supervised tokens ``[N, 2]``.
        recipe: β, the kind of loss, and the label smoothing ε.

    Returns:
        Losses ``[N]``, see :attr:`ftkit.recipe.DPO.loss_type` for the formulas and their papers.
    """
    if recipe.loss_type in ("ipo", "sigmoid_norm"):
        logratios = logratios / lengths
    delta = logratios[:, 0] - logratios[:, 1]
    if recipe.loss_type == "ipo":
        return (delta - 1 / (2 * recipe.beta)) ** 2
    right, wrong = -logsigmoid(recipe.beta * delta), -logsigmoid(-recipe.beta * delta)
    epsilon = recipe.label_smoothing
    if recipe.loss_type == "robust":
        return ((1 - epsilon) * right - epsilon * wrong) / (1 - 2 * epsilon)
    return (1 - epsilon) * right + epsilon * wrong
