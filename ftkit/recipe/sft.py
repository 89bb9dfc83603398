"""Supervised fine-tuning."""

from __future__ import annotations

from typing import ClassVar, Literal

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

    kind: Literal["sft"] = "sft"
    train_reasoning: bool = True
    """Learn the thoughts of learned turns (``reasoning_content``, ``<think>…</think>``). Off: they stay in the
    sequence, as what the answer follows on, and only what comes after them is learned."""
