"""Reward models: a score for an answer, learned from pairs; see :class:`ftkit.recipe.RewardModel`."""

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
from ftkit.recipe import RewardModel
from ftkit.training.losses.base import Loss, LossOutput
from ftkit.training.losses.preference_pairs import render_pair

__all__ = ["RewardModelLoss"]


class RewardModelLoss(Loss[RewardModel]):
    """The Bradley-Terry loss of pairs, from the scores of their last tokens."""

    @override
    def render(self, row: Row, chat_template: ChatTemplate) -> list[Example]:
        return [render_pair(row, chat_template)]

    @override
    def compute(self, forward: PackedForward, pack: PackedSequence, examples: Sequence[Example]) -> LossOutput:
        scores = forward.scores(pack).view(-1, 2)
        margins = torch.tensor([example.margin for example in examples], device=scores.device)
        difference = scores[:, 0] - scores[:, 1]
        losses = -logsigmoid(difference - margins) + self.recipe.center_rewards_coefficient * scores.sum(dim=1) ** 2
        detached = difference.detach()
        metrics = {"rewards_margin": float(detached.sum()), "rewards_accuracy": float((detached > 0).sum())}
        return LossOutput(losses.sum(), metrics)
