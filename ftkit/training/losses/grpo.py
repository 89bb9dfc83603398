"""Group-relative policy optimisation (GRPO, arXiv 2402.03300) and its variants; see :class:`ftkit.recipe.RFT`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from typing_extensions import override

from ftkit.data import Row
from ftkit.modeling.chat_template import ChatTemplate
from ftkit.modeling.packed_forward import PackedForward
from ftkit.modeling.prefix_tree import PackedSequence
from ftkit.modeling.tokenized_example import Example, Floats, TokenizedConversation
from ftkit.recipe import RFT
from ftkit.training.dataloader import TokenRows
from ftkit.training.estimation.rl_workload import rl_workload
from ftkit.training.estimation.workload import Workload
from ftkit.training.losses.base import Loss, LossOutput
from ftkit.training.losses.sft import supervised_tokens
from ftkit.training.reward_hacking import RewardHackingMonitor

__all__ = ["GRPOLoss", "PolicyLosses", "policy_losses"]

Tensor = torch.Tensor

_SAMPLED_PROMPTS = 100
"""Prompts with which prefix sharing is tested."""


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

    source_class: ClassVar[str | type] = "ftkit.training.rollouts:RolloutSource"

    @override
    def render(self, row: Row, chat_template: ChatTemplate) -> list[Example]:
        ids = chat_template.encode_prompt(row.prompt, row.tools, row.place)
        return [Example((TokenizedConversation(ids, np.zeros(len(ids), dtype=np.bool_)),))]

    @override
    def size(self, examples: Sequence[Example]) -> float:
        return supervised_tokens(examples)

    @override
    def monitor(self, warn: Callable[[str], None]) -> RewardHackingMonitor:
        return RewardHackingMonitor(warn)

    @override
    def workload(
        self,
        rows: TokenRows,
        *,
        shared: bool,
        total_rows: int | None = None,
        validation: TokenRows | None = None,
        total_validation_rows: int | None = None,
    ) -> Workload:
        return rl_workload(
            rows,
            self.recipe,
            shared=shared,
            total_rows=total_rows,
            validation=validation,
            total_validation_rows=total_validation_rows,
        )

    @override
    def sample_sequences(self, examples: Sequence[Example]) -> list[TokenizedConversation]:
        # Prompts with completions as long as they may become.
        sequences = []
        for example in examples[:_SAMPLED_PROMPTS]:
            prompt = example.sequences[0].ids
            ids = np.resize(prompt, len(prompt) + self.recipe.max_output_tokens)
            sequences.append(TokenizedConversation(ids, np.arange(len(ids)) > 0))
        return sequences

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
        corrections = [each.correction for each in experiences if each.correction is not None]
        advantage = torch.tensor([each.advantage for each in experiences], device=current.device)
        weights = torch.tensor([each.weight for each in experiences], device=current.device)
        losses = policy_losses(
            tokens.logprobs,
            old,
            tensor(references) if references else None,
            advantage,
            tokens.sequence_indices,
            recipe,
            tensor(corrections) if corrections else None,
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


def policy_losses(
    now: Tensor,
    old: Tensor,
    reference: Tensor | None,
    advantage: Tensor,
    owners: Tensor,
    recipe: RFT,
    correction: Tensor | None = None,
) -> PolicyLosses:
    """Compute the loss of each of the ``A`` tokens of ``N`` answers.

    Args:
        now: log-probability of each token ``[A]``; gradients flow through it.
        old: the same when the answers were sampled ``[A]``.
        reference: under the reference model ``[A]``; weighted by the recipe's β.
        advantage: the advantage of each answer ``[N]``.
        owners: the answer that each token belongs to ``[A]``.
        recipe: ε, β, and whether ratios are per token or per answer.
        correction: weight of each token for what the sampler computes otherwise than the trainer ``[A]``; None is 1. As
            in TRL, the divergence is not weighted.

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
    if correction is not None:
        losses = losses * correction
    clipped = ((ratio < low) & (token_advantage < 0)) | ((ratio > high) & (token_advantage > 0))
    divergence = None
    if reference is not None:
        difference = reference - now
        divergence = difference.exp() - difference - 1
        if recipe.beta:
            corrected = ratio * divergence if recipe.use_bias_correction_kl else divergence
            losses = losses + recipe.beta * corrected
    return PolicyLosses(losses, clipped.float(), None if divergence is None else divergence.detach())
