"""Odds ratio preference optimisation."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from ftkit.error_text import Argument, ErrorText
from ftkit.recipe.base import Recipe

__all__ = ["ORPO"]


class ORPO(Recipe):
    """Odds ratio preference optimisation (Hong et al. 2024, arXiv 2403.07691): learn an answer, and avoid a worse one.

    One stage in place of SFT and DPO, without a reference model. With P an answer's likelihood, the geometric mean
    of its tokens' probabilities, and odds = P / (1 − P), the loss is the negative log-likelihood of the chosen
    conversation minus beta · log σ(log (odds of chosen / odds of rejected)).
    """

    loss_class: ClassVar[str | type] = "ftkit.training.losses.orpo:ORPOLoss"
    rows: ClassVar[tuple[str, ...]] = ("preferences",)
    rows_hint: ClassVar[str] = ErrorText(
        "name the columns with ", Argument("chosen", "…"), " and ", Argument("rejected", "…"), ", or train with SFT"
    )
    adapter_rate: ClassVar[float] = 1e-4
    usual_rates: ClassVar[tuple[float, float]] = (1e-6, 1e-3)

    kind: Literal["orpo"] = "orpo"
    beta: float = Field(default=0.1, ge=0.0)
    """Weight of the odds ratio's part (λ of the paper); the weight of the likelihood is 1."""
    nll_over: Literal["conversations", "answers"] = "conversations"
    """What the negative log-likelihood is the mean of. ``conversations``: all tokens of the chosen conversations of a
    batch, prompts included, as in TRL and in the authors' program. ``answers``: the chosen answers of a batch, each
    with the mean of its tokens, as the paper writes it."""
