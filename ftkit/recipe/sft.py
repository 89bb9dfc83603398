"""Supervised fine-tuning."""

from __future__ import annotations

from typing import Literal

from ftkit.recipe.base import Recipe

__all__ = ["SFT"]


class SFT(Recipe):
    """Supervised fine-tuning: the model learns to give the rows' answers.

    The loss is the mean negative log-likelihood of the supervised tokens (the assistant turns, their end included) over
    all rows of an optimiser step, so a batch gives the same gradient however it is cut up for computing.
    """

    kind: Literal["sft"] = "sft"
