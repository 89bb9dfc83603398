"""Direct preference optimisation."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field
from typing_extensions import override

from ftkit.error_text import Argument, ErrorText
from ftkit.recipe.base import Recipe

__all__ = ["DPO"]


class DPO(Recipe):
    """Direct preference optimisation (Rafailov et al. 2023, arXiv 2305.18290): make the better of two answers likelier.

    With Δ the change of log π(chosen) − log π(rejected) since the start of the run, the mean loss over pairs falls as
    β·Δ grows. The reference is the model before the first step: the base model, or the earlier run's model that
    training starts from.
    """

    loss_class: ClassVar[str | type] = "ftkit.training.losses.dpo:DPOLoss"
    rows: ClassVar[tuple[str, ...]] = ("preferences",)
    rows_hint: ClassVar[str] = ErrorText(
        "name the columns with ", Argument("chosen", "…"), " and ", Argument("rejected", "…"), ", or train with SFT"
    )
    needs_reference: ClassVar[bool] = True
    adapter_rate: ClassVar[float] = 5e-5
    usual_rates: ClassVar[tuple[float, float]] = (5e-7, 5e-4)

    kind: Literal["dpo"] = "dpo"
    beta: float = Field(default=0.1, gt=0.0)
    """Penalty for leaving the reference; a smaller one lets the model move further. τ of the paper for ``ipo``."""
    loss_type: Literal["sigmoid", "sigmoid_norm", "ipo", "robust"] = "sigmoid"
    """``sigmoid``: −log σ(β·Δ). ``sigmoid_norm``: the same with log-probabilities averaged over each answer's tokens,
    so that length gains nothing. ``ipo``: (Δ − 1/2β)² of averaged log-probabilities (Azar et al. 2023, arXiv
    2310.12036). ``robust``: unbiased when a share ``label_smoothing`` of the pairs is swapped (Chowdhury et
    al. 2024, arXiv 2403.00409)."""
    label_smoothing: float = Field(default=0.0, ge=0.0, lt=0.5)
    """Share ε of pairs assumed to be swapped. For the sigmoid losses: (1−ε)·loss(Δ) + ε·loss(−Δ), the
    conservative form (Mitchell 2023)."""

    @override
    def model_post_init(self, context: Any) -> None:
        super().model_post_init(context)
        if self.loss_type == "ipo" and self.label_smoothing:
            raise ValueError("label_smoothing has no meaning for loss_type ipo; leave it at 0")
