"""Reward models: a score for an answer, learnt from pairs; see :class:`ftkit.recipe.RewardModel`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn.functional import logsigmoid

from ftkit.modeling.packed_forward import PackedForward
from ftkit.modeling.prefix_tree import PackedSequence
from ftkit.modeling.tokenized_example import Example
from ftkit.recipe import RewardModel
from ftkit.training.losses.loss import Method, Outcome
from ftkit.training.losses.pairs import count, pair

__all__ = ["rewards"]


def rewards(recipe: RewardModel) -> Method:
    """Pairs, judged by the scores of their last tokens."""

    def loss(forward: PackedForward, pack: PackedSequence, examples: Sequence[Example]) -> Outcome:
        scores = forward.scores(pack).view(-1, 2)
        margins = torch.tensor([one.margin for one in examples], device=scores.device)
        lead = scores[:, 0] - scores[:, 1]
        losses = -logsigmoid(lead - margins) + recipe.center_rewards_coefficient * scores.sum(dim=1) ** 2
        seen = lead.detach()
        figures = {"rewards_margin": float(seen.sum()), "rewards_accuracy": float((seen > 0).sum())}
        return Outcome(losses.sum(), figures)

    return Method(lambda row, chat_template: [pair(row, chat_template)], count, loss, scores=True)
