"""Group-relative policy optimisation (GRPO, arXiv 2402.03300) and its variants; see :class:`ftkit.recipe.RFT`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ftkit.data import Row
from ftkit.modeling.chat_template import ChatTemplate
from ftkit.modeling.packed_forward import PackedForward
from ftkit.modeling.prefix_tree import PackedSequence
from ftkit.modeling.tokenized_example import Example, Floats, TokenizedConversation
from ftkit.recipe import RFT
from ftkit.training.losses.loss import Method, Outcome
from ftkit.training.losses.sft import supervised_tokens

__all__ = ["Losses", "advantages", "policy_losses", "reinforcement", "token_weights"]

Tensor = torch.Tensor
Rewards = NDArray[np.floating[Any]]

_STEADY = 1e-4
"""Added to a group's standard deviation."""


class Losses(NamedTuple):
    """What the tokens of some answers cost, float32 [A] each.

    Attributes:
        losses: to be weighted, added up and differentiated.
        clipped: 1 where the clip holds a token back, else 0.
        divergence: the estimate of KL(policy ‖ reference); ``None`` without a reference.
    """

    losses: Tensor
    clipped: Tensor
    divergence: Tensor | None


def reinforcement(recipe: RFT) -> Method:
    """Prompts, from which :class:`~ftkit.training.rollouts.Rollouts` makes examples by answering them."""

    def loss(forward: PackedForward, pack: PackedSequence, examples: Sequence[Example]) -> Outcome:
        found = forward.token_logprobs(pack, recipe.temperature)
        known = [example.experience for example in examples if example.experience is not None]
        seen = found.logprobs.detach()

        def told(arrays: Sequence[Floats]) -> Tensor:
            return torch.from_numpy(np.concatenate(arrays)).to(seen.device)

        sampled = told([one.sampled for one in known])
        old = seen if any(one.old is None for one in known) else told([one.old for one in known if one.old is not None])
        references = [one.reference for one in known if one.reference is not None]
        judged = torch.tensor([one.advantage for one in known], device=seen.device)
        weights = torch.tensor([one.weight for one in known], device=seen.device)
        each = policy_losses(
            found.logprobs, old, told(references) if references else None, judged, found.sequence_indices, recipe
        )
        apart = old - sampled
        figures = {
            "entropy": float(found.entropies.sum()),
            "clip_share": float(each.clipped.sum()),
            "sampler_difference": float(apart.abs().sum()),
            "sampler_ratio": float(apart.exp().sum()),
        }
        if each.divergence is not None:
            figures["kl"] = float(each.divergence.sum())
        return Outcome((each.losses * weights[found.sequence_indices]).sum(), figures)

    return Method(_render, supervised_tokens, loss, descends=False)


def _render(row: Row, chat_template: ChatTemplate) -> list[Example]:
    ids = chat_template.encode_prompt(row.prompt, row.tools)
    return [Example((TokenizedConversation(ids, np.zeros(len(ids), dtype=np.bool_)),))]


def advantages(rewards: Rewards, recipe: RFT) -> Rewards:
    """How much better each answer is than its siblings: rewards and result are [groups, answers of a group]."""
    count = rewards.shape[1]
    apart: Rewards = rewards - rewards.mean(axis=1, keepdims=True)
    if recipe.advantage == "rloo":  # r − (sum − r)/(count − 1)
        apart = apart * (count / (count - 1))
    elif recipe.advantage == "grpo":
        apart = apart / (rewards.std(axis=1, ddof=1, keepdims=True) + _STEADY)
    return apart


def token_weights(lengths: Sequence[int], recipe: RFT) -> list[float]:
    """The weight of each token of each answer, so that the weighted sum over tokens is the loss of the batch.

    Args:
        lengths: tokens of each answer that are learned from, 0 where it is masked.
        recipe: what the sum is divided by.
    """
    count = len(lengths)
    if recipe.loss_type == "dapo":
        return [1 / max(1, sum(lengths))] * count
    if recipe.loss_type == "dr_grpo":
        return [1 / (count * recipe.max_output_tokens)] * count
    return [1 / (count * max(1, length)) for length in lengths]


def policy_losses(
    now: Tensor, old: Tensor, reference: Tensor | None, judged: Tensor, owners: Tensor, recipe: RFT
) -> Losses:
    """The loss of each token of N answers.

    Args:
        now: log-probability of each token [A]; what is differentiated.
        old: the same when the answers were drawn [A].
        reference: under the reference model [A]; weighed by the recipe's β.
        judged: the advantage of each answer [N].
        owners: the answer that each token belongs to [A].
        recipe: ε, β, and whether ratios are those of tokens or of whole answers.
    """
    change = now - old
    if recipe.importance_sampling_level == "sequence":
        sums = torch.zeros_like(judged, dtype=change.dtype).index_add(0, owners, change)
        change = (sums / torch.bincount(owners, minlength=len(judged)).clamp(min=1))[owners]
    ratio = change.exp()
    advantage = judged[owners]
    low, high = 1 - recipe.epsilon, 1 + (recipe.epsilon if recipe.epsilon_high is None else recipe.epsilon_high)
    losses = -torch.min(ratio * advantage, ratio.clamp(low, high) * advantage)
    clipped = ((ratio < low) & (advantage < 0)) | ((ratio > high) & (advantage > 0))
    divergence = None
    if reference is not None:
        apart = reference - now
        divergence = apart.exp() - apart - 1
        if recipe.beta:
            corrected = ratio * divergence if recipe.use_bias_correction_kl else divergence
            losses = losses + recipe.beta * corrected
    return Losses(losses, clipped.float(), None if divergence is None else divergence.detach())
