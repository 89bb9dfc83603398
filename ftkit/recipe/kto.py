"""Kahneman-Tversky optimisation."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field
from typing_extensions import override

from ftkit.error_text import Argument, ErrorText
from ftkit.recipe.base import Recipe

__all__ = ["KTO"]


class KTO(Recipe):
    """Kahneman-Tversky optimisation (Ethayarajh et al. 2024, arXiv 2402.01306): learn from good and from bad answers.

    Each row has one answer and a label that says whether it is a good one, such as a user's thumbs up or down. Rows of
    chosen and rejected answers will do too: each is then a good and a bad answer. With r the change of log π(answer)
    since the start of the run, and z an estimate of KL(model ‖ reference), the loss of a good answer is
    1 − σ(β·(r − z)) and that of a bad one 1 − σ(β·(z − r)), each times its weight; the mean is taken over answers. As
    in TRL, z is the mean of r over the prompts of a step, each with the answer of the row before it, and at least 0; no
    gradient flows through it. The reference is the model before the first step.
    """

    loss_class: ClassVar[str | type] = "ftkit.training.losses.kto:KTOLoss"
    rows: ClassVar[tuple[str, ...]] = ("unpaired_preferences", "preferences")
    rows_hint: ClassVar[str] = ErrorText(
        "name the column that says whether an answer is a good one with ", Argument("label", "…"), ", or train with SFT"
    )
    hosted_rows: ClassVar[tuple[str, ...] | None] = ("unpaired_preferences",)
    needs_reference: ClassVar[bool] = True
    adapter_rate: ClassVar[float] = 5e-5
    usual_rates: ClassVar[tuple[float, float]] = (5e-7, 5e-4)

    kind: Literal["kto"] = "kto"
    beta: float = Field(default=0.1, gt=0.0)
    """Penalty for leaving the reference; a smaller one lets the model move further."""
    loss_type: Literal["kto", "apo_zero_unpaired"] = "kto"
    """``kto``: as above. ``apo_zero_unpaired``: with z = 0, which needs no estimate, for good answers that are better
    than the model's own (D'Oosterlinck et al. 2024, arXiv 2408.06266)."""
    desirable_weight: float = Field(default=1.0, gt=0.0)
    """Weight of good answers. With n good and m bad answers the paper advises a ratio of n·desirable_weight to
    m·undesirable_weight from 1 to 4/3; a warning says when it is outside."""
    undesirable_weight: float = Field(default=1.0, gt=0.0)
    """Weight of bad answers."""

    @override
    def model_post_init(self, context: Any) -> None:
        super().model_post_init(context)
        if self.loss_type == "kto" and self.batch_size == 1:
            raise ValueError(
                "batch_size must be at least 2 for loss_type kto, which compares each row with the others of its "
                'batch; loss_type="apo_zero_unpaired" compares none'
            )
