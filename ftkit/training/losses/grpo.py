"""Group-relative policy optimisation (GRPO, arXiv 2402.03300) and its variants; see :class:`ftkit.recipe.RFT`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from typing_extensions import override

from ftkit.data import Row
from ftkit.modeling.chat_template import ChatTemplate
from ftkit.modeling.packed_forward import PackedForward
from ftkit.modeling.prefix_tree import PackedSequence
from ftkit.modeling.tokenized_example import Example, Floats, TokenizedConversation
from ftkit.recipe import RFT
from ftkit.training.losses.base import Loss, LossOutput
from ftkit.training.losses.sft import supervised_tokens

__all__ = ["GRPOLoss", "PolicyLosses", "advantages", "policy_losses", "token_weights"]

Tensor = torch.Tensor
Rewards = NDArray[np.floating[Any]]

_STD_EPSILON = 1e-4
"""Added to a group's standard deviation."""


class PolicyLosses(NamedTuple):
    """Losses of the tokens of some answers, each tensor float32 ``[A]``.

    Attributes:
        losses: to be weighted, summed and differentiated.
        clipped: 1 where the clip is active, else 0.
        divergence: the estimate of KL(policy ‖ reference); ``None`` without a reference.
    """

    losses: Tensor
    clipped: Tensor
    divergence: Tensor | None


class GRPOLoss(Loss[RFT]):
    """The clipped policy-gradient loss of answers that the model has sampled."""

    @override
    def render(self, row: Row, chat_template: ChatTemplate) -> list[Example]:
        ids = chat_template.encode_prompt(row.prompt, row.tools)
        return [Example((TokenizedConversation(ids, np.zeros(len(ids), dtype=np.bool_)),))]

    @override
    def size(self, examples: Sequence[Example]) -> float:
        return supervised_tokens(examples)

    @override
    def compute(self, forward: PackedForward, pack: PackedSequence, examples: Sequence[Example]) -> LossOutput:
        recipe = self.recipe
        tokens = forward.token_logprobs(pack, recipe.temperature)
        experiences = [example.experience for example in examples if example.experience is not None]
        current = tokens.logprobs.detach()

        def tensor(arrays: Sequence[Floats]) -> Tensor:
            return torch.from_numpy(np.concatenate(arrays)).to(current.device)

        sampled = tensor([each.sampled for each in experiences])
        stored = [each.old for each in experiences if each.old is not None]
        old = tensor(stored) if len(stored) == len(experiences) else current
        references = [each.reference for each in experiences if each.reference is not None]
        advantage = torch.tensor([each.advantage for each in experiences], device=current.device)
        weights = torch.tensor([each.weight for each in experiences], device=current.device)
        losses = policy_losses(
            tokens.logprobs, old, tensor(references) if references else None, advantage, tokens.sequence_indices, recipe
        )
        difference = old - sampled
        metrics = {
            "entropy": float(tokens.entropies.sum()),
            "clip_share": float(losses.clipped.sum()),
            "sampler_difference": float(difference.abs().sum()),
            "sampler_ratio": float(difference.exp().sum()),
        }
        if losses.divergence is not None:
            metrics["kl"] = float(losses.divergence.sum())
        return LossOutput((losses.losses * weights[tokens.sequence_indices]).sum(), metrics)


def advantages(rewards: Rewards, recipe: RFT) -> Rewards:
    """Compute how much better each answer is than the others of its group.

    Args:
        rewards: ``[groups, answers per group]``.
        recipe: its :attr:`~ftkit.recipe.RFT.advantage` chooses the formula.

    Returns:
        Advantages ``[groups, answers per group]``.
    """
    count = rewards.shape[1]
    centred: Rewards = rewards - rewards.mean(axis=1, keepdims=True)
    if recipe.advantage == "rloo":  # r − (sum − r)/(count − 1)
        centred = centred * (count / (count - 1))
    elif recipe.advantage == "grpo":
        centred = centred / (rewards.std(axis=1, ddof=1, keepdims=True) + _STD_EPSILON)
    return centred


def token_weights(lengths: Sequence[int], recipe: RFT) -> list[float]:
    """Compute the weight of each token of each answer, so that the weighted sum over tokens is the loss of the batch.

    Args:
        lengths: unmasked tokens of each answer, 0 where the whole answer is masked.
        recipe: its :attr:`~ftkit.recipe.RFT.loss_type` chooses what the sum is divided by.

    Returns:
        One weight per answer.
    """
    count = len(lengths)
    if recipe.loss_type == "dapo":
        return [1 / max(1, sum(lengths))] * count
    if recipe.loss_type == "dr_grpo":
        return [1 / (count * recipe.max_output_tokens)] * count
    return [1 / (count * max(1, length)) for length in lengths]


def policy_losses(
    now: Tensor, old: Tensor, reference: Tensor | None, advantage: Tensor, owners: Tensor, recipe: RFT
) -> PolicyLosses:
    """Compute the loss of each of the ``A`` tokens of ``N`` answers.

    Args:
        now: log-probability of each token ``[A]``; gradients flow through it.
        old: the same when the answers were sampled ``[A]``.
        reference: under the reference model ``[A]``; weighted by the recipe's β.
        advantage: the advantage of each answer ``[N]``.
        owners: the answer that each token belongs to ``[A]``.
        recipe: ε, β, and whether ratios are per token or per answer.

    Returns:
        Losses, which tokens are clipped, and the divergence from the reference.
    """
    change = now - old
    if recipe.importance_sampling_level == "sequence":
        sums = torch.zeros_like(advantage, dtype=change.dtype).index_add(0, owners, change)
        change = (sums / torch.bincount(owners, minlength=len(advantage)).clamp(min=1))[owners]
    ratio = change.exp()
    token_advantage = advantage[owners]
    low, high = 1 - recipe.epsilon, 1 + (recipe.epsilon if recipe.epsilon_high is None else recipe.epsilon_high)
    losses = -torch.min(ratio * token_advantage, ratio.clamp(low, high) * token_advantage)
    clipped = ((ratio < low) & (token_advantage < 0)) | ((ratio > high) & (token_advantage > 0))
    divergence = None
    if reference is not None:
        difference = reference - now
        divergence = difference.exp() - difference - 1
        if recipe.beta:
            corrected = ratio * divergence if recipe.use_bias_correction_kl else divergence
            losses = losses + recipe.beta * corrected
    return PolicyLosses(losses, clipped.float(), None if divergence is None else divergence.detach())
