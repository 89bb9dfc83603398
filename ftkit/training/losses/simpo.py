"""Simple preference optimisation (arXiv 2405.14734); see :class:`ftkit.recipe.SimPO`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch.nn.functional import logsigmoid
from typing_extensions import override

from ftkit.data import Row
from ftkit.modeling.chat_template import ChatTemplate
from ftkit.modeling.packed_forward import PackedForward
from ftkit.modeling.prefix_tree import PackedSequence
from ftkit.modeling.tokenized_example import Example
from ftkit.recipe import SimPO
from ftkit.training.losses.base import Loss, LossOutput
from ftkit.training.losses.preference_pairs import answer_lengths, render_pair, reward_metrics

__all__ = ["SimPOLoss"]


class SimPOLoss(Loss[SimPO]):
    """The loss of pairs, from their averaged log-probabilities."""

    @override
    def render(self, row: Row, chat_template: ChatTemplate) -> list[Example]:
        return [render_pair(row, chat_template)]

    @override
    def weigh(self, examples: Sequence[Example]) -> list[Example]:
        tokens = sum(int(example.sequences[0].supervised.sum()) for example in examples)
        return [replace(example, weight=len(examples) / max(1, tokens)) for example in examples]

    @override
    def compute(self, forward: PackedForward, pack: PackedSequence, examples: Sequence[Example]) -> LossOutput:
        recipe, logprobs = self.recipe, forward.sequence_logprobs(pack).view(-1, 2)
        means = logprobs / answer_lengths(examples, logprobs.device)
        gain = recipe.beta * (means[:, 0] - means[:, 1]) - recipe.gamma
        losses = -(1 - recipe.label_smoothing) * logsigmoid(gain) - recipe.label_smoothing * logsigmoid(-gain)
        metrics = reward_metrics(recipe.beta * means.detach())
        if recipe.cpo_alpha:
            weights = torch.tensor([example.weight for example in examples], device=logprobs.device)
            likelihood = -logprobs[:, 0] * weights
            losses = losses + recipe.cpo_alpha * likelihood
            metrics["nll_loss"] = float(likelihood.detach().sum())
        return LossOutput(losses.sum(), metrics)
