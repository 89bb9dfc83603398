"""A loss: learn from single answers with a thumb up or down (unpaired preferences).

The loss is unpaired APO-zero (D'Oosterlinck et al. 2024, arXiv 2408.06266), a form of KTO (Ethayarajh et al. 2024,
arXiv 2402.01306) that needs no estimate of the divergence. With r = log π(answer) − log π_ref(answer), where the
reference is the model before training, an answer costs 1 − σ(β·r) if its thumb is up, and σ(β·r) if it is down.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import Field

from ftkit.errors import DataError
from ftkit.modeling.tokenized_example import Example
from ftkit.recipe import Recipe
from ftkit.training.losses import Loss, LossOutput

THUMBS = {True: True, False: False, "up": True, "down": False, "true": True, "false": False}


@dataclass(frozen=True, slots=True)
class RatedExample(Example):
    """One conversation, and whether its answer is a good one."""

    good: bool = True


class ThumbsLoss(Loss["Thumbs"]):
    """Computes the loss. Torch is imported when the first batch is computed, in the training process."""

    def render(self, row: Any, chat_template: Any) -> list[Example]:
        if row.completion is None:
            raise DataError("the row has no answer to rate", place=row.place)
        column = self.recipe.rating_column
        rating = row.columns.get(column)
        if not isinstance(rating, int | str) or rating not in THUMBS:
            raise DataError(f"column {column!r} must say up or down, true or false, not {rating!r}", place=row.place)
        sequence = chat_template.encode_answer(row.messages, row.tools, row.place)
        return [RatedExample((sequence,), good=THUMBS[rating])]

    def compute(self, forward: Any, pack: Any, examples: Sequence[Any]) -> LossOutput:
        import torch

        recipe = self.recipe
        logprobs = forward.sequence_logprobs(pack)
        reference = torch.tensor([example.reference[0] for example in examples], device=logprobs.device)
        good = torch.tensor([example.good for example in examples], device=logprobs.device)
        preferred = torch.sigmoid(recipe.beta * (logprobs - reference))
        losses = torch.where(good, recipe.good_weight * (1 - preferred), recipe.bad_weight * preferred)
        right = (preferred.detach() > 0.5) == good
        return LossOutput(losses.sum(), {"rewards_accuracy": float(right.sum())})


class Thumbs(Recipe):
    """Learn from answers with a thumb up or down.

    Rows are demonstrations with one more column, which says whether the answer is a good one.
    """

    loss_class: ClassVar[str | type] = ThumbsLoss
    rows: ClassVar[tuple[str, ...]] = ("demonstrations",)
    rows_hint: ClassVar[str] = "train pairs of answers with DPO"
    needs_reference: ClassVar[bool] = True
    adapter_rate: ClassVar[float] = 5e-5
    usual_rates: ClassVar[tuple[float, float]] = (5e-7, 5e-4)

    kind: Literal["thumbs"] = "thumbs"
    beta: float = Field(default=0.1, gt=0.0)
    """Penalty for leaving the reference; a smaller one lets the model move further."""
    good_weight: float = Field(default=1.0, gt=0.0)
    """Weight of answers with a thumb up."""
    bad_weight: float = Field(default=1.0, gt=0.0)
    """Weight of answers with a thumb down."""
    rating_column: str = "thumb"
    """Column of the rating: ``up`` or ``down``, ``true`` or ``false``."""
