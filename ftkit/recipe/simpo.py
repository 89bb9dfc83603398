"""Simple preference optimisation."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from ftkit.error_text import Argument, ErrorText
from ftkit.recipe.base import Recipe

__all__ = ["SimPO"]


class SimPO(Recipe):
    """Simple preference optimisation (Meng et al. 2024, arXiv 2405.14734): DPO without a reference, by mean tokens.

    With Δ the log-probability of the chosen answer minus that of the rejected one, each averaged over the answer's
    tokens, the loss of a pair is −log σ(beta·Δ − gamma).
    """

    loss_class: ClassVar[str | type] = "ftkit.training.losses.simpo:SimPOLoss"
    rows: ClassVar[tuple[str, ...]] = ("preferences",)
    rows_hint: ClassVar[str] = ErrorText(
        "name the columns with ", Argument("chosen", "…"), " and ", Argument("rejected", "…"), ", or train with SFT"
    )
    adapter_rate: ClassVar[float] = 1e-5
    usual_rates: ClassVar[tuple[float, float]] = (1e-7, 2e-4)

    kind: Literal["simpo"] = "simpo"
    beta: float = Field(default=2.0, gt=0.0)
    """Scale of the averaged log-probabilities; the paper advises 2 to 2.5."""
    gamma: float = Field(default=1.0, ge=0.0)
    """By how much beta·Δ should exceed 0, the target margin; the paper advises about half of beta. TRL's
    ``simpo_gamma``."""
    label_smoothing: float = Field(default=0.0, ge=0.0, lt=0.5)
    """Share ε of pairs assumed to be swapped: (1−ε)·loss(x) + ε·loss(−x) with x = beta·Δ − gamma."""
    cpo_alpha: float = Field(default=0.0, ge=0.0)
    """Weight of the negative log-likelihood of the chosen answers, the mean over their tokens in a batch. Above 0 it is
    CPO-SimPO, which keeps the chosen answers likely (Xu et al. 2024, arXiv 2401.08417)."""
