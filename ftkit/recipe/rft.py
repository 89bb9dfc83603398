"""Reinforcement fine-tuning."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field
from typing_extensions import override

from ftkit.graders import AnyGrader
from ftkit.recipe.base import Grading, Recipe
from ftkit.recipe.rollout_engines import AnyRollouts, RolloutEngine, rollout_engine

__all__ = ["RFT"]

_OF_OTHER_ENGINES = ("rollout_correction", "rollout_correction_clip_max", "max_sampler_difference")


class RFT(Recipe):
    """Reinforcement fine-tuning by GRPO: answers with a higher reward than the others of their group become likelier.

    Source: Shao et al. 2024, arXiv 2402.03300.

    Each step takes ``batch_size`` prompts, samples ``num_generations`` answers to each from the current model, and
    gives each a reward with ``grader``. With ρ the ratio of a token's probability now to its probability when it was
    sampled, and A its answer's advantage, the loss of a token is −min(ρ·A, clip(ρ, 1 − ε, 1 + ε_high)·A) + β·KL. The
    reference of KL is the model before the first step: the base model, or the earlier run's model that training starts
    from.

    Rows of any kind will do. Training uses their prompts; the grader alone reads a wanted answer, as ``{{item.…}}`` of
    the row's columns. Validation rows are answered greedily and evaluated by their mean reward.
    """

    loss_class: ClassVar[str | type] = "ftkit.training.losses.grpo:GRPOLoss"
    rows: ClassVar[tuple[str, ...]] = ("prompts", "demonstrations", "preferences")
    needs_rollouts: ClassVar[bool] = True
    monitored: ClassVar[Literal["loss", "reward"]] = "reward"
    adapter_rate: ClassVar[float] = 1e-4
    usual_rates: ClassVar[tuple[float, float]] = (1e-6, 1e-3)

    kind: Literal["rft"] = "rft"
    grader: AnyGrader
    """Gives each answer a reward: any grader of :mod:`ftkit.graders`."""
    num_generations: int = Field(default=8, ge=2)
    """Answers sampled for each prompt: its group (G)."""
    max_output_tokens: int = Field(default=256, ge=1)
    """Longest answer in tokens; longer ones are truncated."""
    temperature: float = Field(default=1.0, gt=0.0, le=2.0)
    """Sampling temperature. The loss uses probabilities at this temperature too."""
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    """Sample only from the likeliest tokens with this total probability. The loss ignores it, so below 1 the answers
    are not exactly samples of the policy that is trained."""
    advantage: Literal["grpo", "dr_grpo", "rloo"] = "grpo"
    """How an advantage follows from the rewards r of a group. ``grpo``: (r − mean) / (standard deviation + 1e-4).
    ``dr_grpo``: r − mean, so that neither easy nor hard prompts weigh more (Liu et al. 2025, arXiv 2503.20783).
    ``rloo``: r − mean of the others (Ahmadian et al. 2024, arXiv 2402.14740)."""
    loss_type: Literal["dapo", "grpo", "dr_grpo"] = "dapo"
    """What the sum over tokens is divided by. ``dapo``: all tokens of the step, with equal weights (Yu et al. 2025,
    arXiv 2503.14476). ``grpo``: the mean over answers of the mean over their tokens, which favours short good answers
    and long bad ones. ``dr_grpo``: answers times ``max_output_tokens``, a constant (arXiv 2503.20783)."""
    importance_sampling_level: Literal["token", "sequence"] = "token"
    """``sequence``: one ratio per answer, the geometric mean of its tokens' (GSPO, Zheng et al. 2025, arXiv 2507.18071,
    which goes with ``loss_type="grpo"`` and an ``epsilon`` of about 3e-4)."""
    epsilon: float = Field(default=0.2, gt=0.0, lt=1.0)
    """How far below 1 a ratio may fall before it is clipped (ε)."""
    epsilon_high: float | None = Field(default=None, gt=0.0)
    """How far above 1 it may rise; ``None`` is ``epsilon``. DAPO's clip-higher is 0.28."""
    beta: float = Field(default=0.0, ge=0.0)
    """Weight of the divergence from the reference, estimated for each token as exp(d) − d − 1 with d = log π_ref −
    log π (the k3 of Schulman 2020, http://joschu.net/blog/kl-approx.html). 0 skips its computation."""
    use_bias_correction_kl: bool = True
    """Multiply the divergence by ρ, so that its gradient is that of KL(policy ‖ reference) without bias (DeepSeek-V3.2,
    arXiv 2512.02556). Off is the plain estimate of GRPO."""
    num_iterations: int = Field(default=1, ge=1)
    """Optimiser steps on the same answers (μ). Above 1, ratios differ from 1 and clipping takes effect."""
    mask_truncated_completions: bool = False
    """Mask answers that were truncated in the loss (DAPO's overlong filtering). Their rewards still count in their
    group. Leave it off for a model that seldom ends its answers: it must learn that first."""
    dynamic_sampling: int = Field(default=0, ge=0)
    """How many times a step may replace prompts whose answers all have the same reward by other prompts (DAPO's dynamic
    sampling). Each time costs as much as sampling answers to the replaced prompts."""
    rollouts: AnyRollouts = "torch"
    """What samples the answers: ``"torch"``, ftkit's own engine with the weights in training, or ``"vllm"``, a vLLM
    server that loads the adapter anew at each step; :class:`ft.VLLM <ftkit.backends.local.vllm.VLLM>` has its
    settings. For LoRA and QLoRA."""
    rollout_correction: Literal["token_truncate", "token_mask", "sequence_truncate", "sequence_mask"] | None = (
        "token_truncate"
    )
    """How the loss is corrected for what another engine computes otherwise (Yao et al. 2025, "Your Efficient RL
    Framework Secretly Brings You Off-Policy Training"): each token is weighted by π_trainer/π_sampler, for
    ``sequence_…`` by the product over its answer. Above the limit the ratio is cut to it (``…_truncate``), or the token
    or answer is left out (``…_mask``). ``None`` corrects nothing."""
    rollout_correction_clip_max: float = Field(default=3.0, gt=0.0)
    """The limit of these ratios."""
    max_sampler_difference: float | None = Field(default=0.1, gt=0.0)
    """Stop a run before it learns from answers whose log-probabilities by another engine differ from the trainer's by
    more than this, in nats per token on average. ``None`` stops at nothing."""
    eval_generations: int = Field(default=1, ge=1)
    """Answers to each validation prompt. One is decoded greedily; several are sampled at ``temperature``."""
    compute_multiplier: float | None = Field(default=None, gt=1e-5, le=10.0)
    """Hosts only: how much exploration to compute, as a multiple of the host's default; ``None`` leaves it to the host
    (OpenAI's API reference, reinforcement hyperparameters). On this machine ``num_generations`` sets it."""
    reasoning_effort: Literal["default", "low", "medium", "high"] = "default"
    """Hosts only: how long a reasoning model thinks before it answers. ``default`` is the host's."""
    probe_prompts: int = Field(default=16, ge=0)
    """Prompts that are answered and graded before the first step. The run is refused, with the reason, if the rewards
    within every group are equal or grading fails; 0 skips this check."""
    allow_python: bool = False
    """Let ``python`` graders run, in a separate process without network or files. They are foreign code."""
    isolation: Literal["kernel", "process"] = "kernel"
    """How they are sandboxed, see :data:`ftkit.graders.Isolation`."""
    embedder: str | None = Field(default=None, pattern=r"^[^:]+:.+$")
    """The model that embeds texts for graders of ``cosine``: ``"openai:text-embedding-3-large"``, ``"local:NAME"``."""

    @override
    def model_post_init(self, context: Any) -> None:
        super().model_post_init(context)
        if self.importance_sampling_level == "sequence" and self.loss_type == "dapo":
            raise ValueError(
                'importance_sampling_level "sequence" weights answers, and loss_type "dapo" weights tokens; use '
                'loss_type="grpo"'
            )
        changed = [name for name in _OF_OTHER_ENGINES if getattr(self, name) != type(self).model_fields[name].default]
        if changed and self.sampled_by.samples_with_trainer:
            raise ValueError(
                f"{', '.join(changed)}: what another engine computes otherwise than the trainer, and with rollouts="
                f"{self.rollouts!r} the model in training samples by itself; leave it out, or name another engine"
            )

    @property
    @override
    def grading(self) -> Grading:
        return Grading(self.grader, self.allow_python, self.isolation, self.embedder)

    @property
    @override
    def sampled_by(self) -> RolloutEngine:
        return rollout_engine(self.rollouts)

    @property
    @override
    def reserved_tokens(self) -> int:
        return self.max_output_tokens

    @override
    def unsupported_locally(self) -> dict[str, str]:
        reasons = {}
        if self.compute_multiplier is not None:
            reasons["compute_multiplier"] = "num_generations sets how much is explored here"
        if self.reasoning_effort != "default":
            reasons["reasoning_effort"] = "the local engine has no such setting"
        return reasons

    @override
    def total_steps(self, rows: int) -> int:
        return super().total_steps(rows) * self.num_iterations  # each batch of prompts is several steps
