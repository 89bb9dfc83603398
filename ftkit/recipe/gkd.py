"""On-policy distillation."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field
from typing_extensions import override

from ftkit.recipe.base import Recipe

__all__ = ["GKD"]


class GKD(Recipe):
    """Generalised knowledge distillation (arXiv 2306.13649): a teacher judges the model's own answers.

    In a share ``lmbda`` of the steps the model samples an answer to each prompt of the batch; the other steps take the
    rows' answers. The teacher reads each answer, and the model learns its probabilities of each token: the loss is the
    mean generalised Jensen-Shannon divergence over all tokens, with the whole vocabulary. So the model learns to go on
    from its own mistakes, which rows of the teacher's answers do not show it.

    The teacher is a model on this machine, in memory beside the model in training, with the same tokens.
    """

    loss_class: ClassVar[str | type] = "ftkit.training.losses.gkd:GKDLoss"
    rows: ClassVar[tuple[str, ...]] = ("prompts", "demonstrations")
    needs_rollouts: ClassVar[bool] = True
    adapter_rate: ClassVar[float] = 2e-4

    kind: Literal["gkd"] = "gkd"
    teacher: str = Field(pattern=r"^local:.+$")
    """The model that judges, on this machine: ``"local:NAME"``."""
    lmbda: float = Field(default=0.5, ge=0.0, le=1.0)
    """Share of the steps that learn from the model's own answers; TRL's name. Prompts without answers need 1."""
    beta: float = Field(default=0.5, ge=0.0, le=1.0)
    """Which divergence: 0 is the forward KL, 1 the reverse KL, between them the generalised Jensen-Shannon
    divergence."""
    temperature: float = Field(default=0.9, gt=0.0, le=2.0)
    """Sampling temperature. The loss compares distributions at temperature 1."""
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    """Sample only from the likeliest tokens with this total probability."""
    max_output_tokens: int = Field(default=128, ge=1)
    """Longest sampled answer in tokens; longer ones are truncated."""

    @property
    @override
    def reserved_tokens(self) -> int:
        return self.max_output_tokens if self.lmbda else 0

    @override
    def local_models(self) -> tuple[str, ...]:
        return (self.teacher,)
