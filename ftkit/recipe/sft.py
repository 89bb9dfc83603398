"""Supervised fine-tuning."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from ftkit.error_text import Argument, ErrorText
from ftkit.recipe.base import Recipe

__all__ = ["SFT"]


class SFT(Recipe):
    """Supervised fine-tuning: the model learns to give the rows' answers.

    The loss is the mean negative log-likelihood of the supervised tokens (the assistant turns, their end included) over
    all rows of an optimiser step. A batch gives the same gradient however it is split for computing.
    """

    loss_class: ClassVar[str | type] = "ftkit.training.losses.sft:SFTLoss"
    rows: ClassVar[tuple[str, ...]] = ("demonstrations", "preferences")
    rows_hint: ClassVar[str] = ErrorText("name the column of answers with ", Argument("target"), ", or train with RFT")
    hosted_rows: ClassVar[tuple[str, ...] | None] = ("demonstrations",)
    token_loss: ClassVar[bool] = True
    small_batch: ClassVar[int] = 4

    kind: Literal["sft"] = "sft"
    neftune_noise_alpha: float | None = Field(default=None, gt=0.0)
    """Add noise to the embeddings of training rows: uniform, of at most α/√(L·d) for L tokens of d elements (NEFTune,
    Jain et al. 2023, arXiv 2310.05914, which uses 5 to 15). Rows that share a prefix in a pass share its noise.
    ``None`` adds none."""
    train_reasoning: bool = True
    """Learn the thoughts of learned turns (``reasoning_content``, ``<think>…</think>``). Off: they stay in the
    sequence, as what the answer follows on, and only what comes after them is learned."""
