"""Odds ratio preference optimisation (arXiv 2403.07691); see :class:`ftkit.recipe.ORPO`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch.nn.functional import logsigmoid
from typing_extensions import override

from ftkit.data import Row
from ftkit.modeling.chat_template import ChatTemplate
from ftkit.modeling.packed_forward import PackedForward
from ftkit.modeling.prefix_tree import PackedSequence
from ftkit.modeling.tokenized_example import Example, TokenizedConversation
from ftkit.recipe import ORPO
from ftkit.training.losses.base import Loss, LossOutput
from ftkit.training.losses.preference_pairs import answer_lengths, render_pair, reward_metrics

__all__ = ["ORPOLoss", "log_odds"]

Tensor = torch.Tensor


class ORPOLoss(Loss[ORPO]):
    """The likelihood of chosen answers and the odds ratio of pairs."""

    @override
    def render(self, row: Row, chat_template: ChatTemplate) -> list[Example]:
        return [self.with_prompt(render_pair(row, chat_template))]

    def with_prompt(self, pair: Example) -> Example:
        """Add the prompt as a sequence of its own, whose tokens are supervised, where the loss counts them.

        In a pack it is a prefix of the two answers' sequences, so that it costs nothing.

        Args:
            pair: the chosen and the rejected sequence.

        Returns:
            The pair, with a third sequence if the likelihood is that of conversations.
        """
        if self.recipe.nll_over == "answers":
            return pair
        chosen = pair.sequences[0]
        prompt = chosen.ids[: chosen.supervised.argmax()]
        return replace(pair, sequences=(*pair.sequences, TokenizedConversation(prompt, np.arange(len(prompt)) > 0)))

    @override
    def weigh(self, examples: Sequence[Example]) -> list[Example]:
        if self.recipe.nll_over == "answers":
            return [replace(each, weight=1 / max(1, int(each.sequences[0].supervised.sum()))) for each in examples]
        tokens = sum(len(example.sequences[0].ids) - 1 for example in examples)
        return [replace(example, weight=len(examples) / tokens) for example in examples]

    @override
    def compute(self, forward: PackedForward, pack: PackedSequence, examples: Sequence[Example]) -> LossOutput:
        logprobs = forward.sequence_logprobs(pack).view(len(examples), -1)
        means = logprobs[:, :2] / answer_lengths(examples, logprobs.device)
        odds = log_odds(means)
        ratio = logsigmoid(odds)
        weights = torch.tensor([example.weight for example in examples], device=logprobs.device)
        likelihood = -(logprobs[:, 0] + logprobs[:, 2:].sum(dim=1)) * weights
        total = (likelihood - self.recipe.beta * ratio).sum()
        metrics = {
            "nll_loss": float(likelihood.detach().sum()),
            "log_odds_ratio": float(odds.detach().sum()),
            **reward_metrics(self.recipe.beta * means.detach()),
        }
        return LossOutput(total, metrics)


_LIKELIEST = -1e-6
"""Highest mean log-probability whose odds are computed: those of a certain answer are infinite."""


def log_odds(means: Tensor) -> Tensor:
    """Compute the logarithm of the ratio of the odds of each pair's answers.

    Args:
        means: log-probabilities of the chosen and the rejected answer, averaged over tokens ``[N, 2]``.

    Returns:
        log (P / (1 − P)) of the chosen answer minus that of the rejected one ``[N]``.
    """
    means = means.clamp(max=_LIKELIEST)
    # log (1 − P), by whichever form loses less to rounding.
    others = torch.where(means < -0.6931472, torch.log1p(-means.exp()), torch.log(-torch.expm1(means)))
    odds = means - others
    return odds[:, 0] - odds[:, 1]
