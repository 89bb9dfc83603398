"""Reinforcement fine-tuning."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from ftkit.graders import AnyGrader
from ftkit.recipe.base import Recipe

__all__ = ["RFT"]


class RFT(Recipe):
    """Reinforcement fine-tuning by GRPO (Shao et al. 2024, arXiv 2402.03300): answers that a grader likes better than
    their siblings become likelier.

    Each step takes ``batch_size`` prompts, draws ``num_generations`` answers to each from the model as it is, and lets
    ``grader`` judge them. With ρ the ratio of a token's probability now to that when it was drawn and A its answer's
    advantage, the loss of a token is −min(ρ·A, clip(ρ, 1 − ε, 1 + ε_high)·A) + β·KL. The reference of KL is the model
    as it was before the first step: the base model, or what an earlier run made when training starts from one.

    Rows of any kind will do: what is learned from is their prompts, and a wanted answer is only shown to the grader, as
    ``{{item.…}}`` of the row's columns. Validation rows are answered without chance, and watched by their mean reward.
    """

    kind: Literal["rft"] = "rft"
    adapter_rate: ClassVar[float] = 1e-4
    usual_rates: ClassVar[tuple[float, float]] = (1e-6, 1e-3)
    grader: AnyGrader
    """What an answer is worth: any grader of :mod:`ftkit.graders`."""
    num_generations: int = Field(default=8, ge=2)
    """Answers drawn for each prompt: its group (G)."""
    max_output_tokens: int = Field(default=256, ge=1)
    """The longest answer in tokens; what is not finished by then is truncated."""
    temperature: float = Field(default=1.0, gt=0.0, le=2.0)
    """Of the draws. Probabilities in the loss are at this temperature too: it is the one that is learned at."""
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    """Draw from the likeliest tokens with this mass only. The loss knows nothing of it, so below 1 the answers are not
    quite those of the policy that is trained."""
    advantage: Literal["grpo", "dr_grpo", "rloo"] = "grpo"
    """From the rewards r of a group. ``grpo``: (r − mean) / (standard deviation + 1e-4). ``dr_grpo``: r − mean, so that
    neither easy nor hard prompts weigh more (Liu et al. 2025, arXiv 2503.20783). ``rloo``: r − mean of the others
    (Ahmadian et al. 2024, arXiv 2402.14740)."""
    loss_type: Literal["dapo", "grpo", "dr_grpo"] = "dapo"
    """What the sum over tokens is divided by. ``dapo``: all tokens of the step, each weighing the same (Yu et al. 2025,
    arXiv 2503.14476). ``grpo``: the mean over answers of the mean over their tokens, which favours short good answers
    and long bad ones. ``dr_grpo``: answers times ``max_output_tokens``, a constant (arXiv 2503.20783)."""
    importance_sampling_level: Literal["token", "sequence"] = "token"
    """``sequence``: one ratio an answer, the geometric mean of its tokens' (GSPO, Zheng et al. 2025, arXiv 2507.18071,
    which goes with ``loss_type="grpo"`` and an ``epsilon`` of about 3e-4)."""
    epsilon: float = Field(default=0.2, gt=0.0, lt=1.0)
    """How far a ratio may fall below 1 and still be rewarded for it (ε)."""
    epsilon_high: float | None = Field(default=None, gt=0.0)
    """How far it may rise above 1; ``None`` is ``epsilon``. DAPO's clip-higher is 0.28."""
    beta: float = Field(default=0.0, ge=0.0)
    """Weight of the divergence from the reference, estimated for each token as exp(d) − d − 1 with d = log π_ref −
    log π (the k3 of Schulman 2020, http://joschu.net/blog/kl-approx.html). 0 spares its computation."""
    use_bias_correction_kl: bool = True
    """Multiply the divergence by ρ, so that its gradient is that of KL(policy ‖ reference) without bias (DeepSeek-V3.2,
    arXiv 2512.02556). Off is the plain estimate of GRPO."""
    num_iterations: int = Field(default=1, ge=1)
    """Optimiser steps on the same answers (μ). Above 1 ratios leave 1, and clipping begins to matter."""
    mask_truncated_completions: bool = False
    """Learn nothing from answers that were truncated (DAPO's overlong filtering). Their rewards still count in their
    group. A model that seldom ends its answers must learn that first: leave it off."""
    dynamic_sampling: int = Field(default=0, ge=0)
    """How many times a step may replace prompts whose answers were all rewarded alike, and so teach nothing, by others
    (DAPO's dynamic sampling). Each time costs as much as drawing answers for the prompts that are replaced."""
    eval_generations: int = Field(default=1, ge=1)
    """Answers to each validation prompt. One is the likeliest; several are drawn at ``temperature``."""
    compute_multiplier: float | None = Field(default=None, gt=1e-5, le=10.0)
    """Of hosts only: how much exploration is computed, as a multiple of the usual; ``None`` leaves it to the host
    (OpenAI's API reference, reinforcement hyperparameters). Here ``num_generations`` says it."""
    reasoning_effort: Literal["default", "low", "medium", "high"] = "default"
    """Of hosts only: how long a model thinks before it answers, for models that do. ``default`` is the host's."""
    probe_prompts: int = Field(default=16, ge=0)
    """Prompts that are answered and graded before the first step. When no group of them tells a better answer from a
    worse one, or grading fails, the run is refused with the reason; 0 trains without looking."""
    allow_python: bool = False
    """Let ``python`` graders run, in a process of their own without network or files. They are foreign code."""
    isolation: Literal["kernel", "process"] = "kernel"
    """How they are kept apart, see :data:`ftkit.graders.Isolation`."""
    embedder: str | None = Field(default=None, pattern=r"^[^:]+:.+$")
    """The model that embeds texts for graders of ``cosine``: ``"openai:text-embedding-3-large"``, ``"local:NAME"``."""

    def model_post_init(self, context: Any) -> None:
        super().model_post_init(context)
        if self.importance_sampling_level == "sequence" and self.loss_type == "dapo":
            raise ValueError(
                'importance_sampling_level "sequence" weighs answers, and loss_type "dapo" tokens; use loss_type="grpo"'
            )

    def total_steps(self, rows: int) -> int:
        """See :meth:`Recipe.total_steps`; each batch of prompts is ``num_iterations`` steps."""
        return super().total_steps(rows) * self.num_iterations
