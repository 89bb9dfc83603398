"""Continued pre-training."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

from pydantic import Field
from typing_extensions import override

from ftkit.error_text import Argument, ErrorText
from ftkit.recipe.base import Recipe, RecipeFacts

__all__ = ["CPT"]


class CPT(Recipe):
    """Continued pre-training: the model learns plain texts, every token of them.

    The loss is the mean negative log-likelihood of all tokens of an optimiser step. Each text begins with the tokens
    that the tokenizer puts first and ends with the end-of-sequence token. A text that is longer than a block is split,
    and each piece begins with the last token of the piece before it, so that every token is learned once. Short texts
    and pieces are packed into blocks; they never see each other, because attention stays inside a text.
    """

    loss_class: ClassVar[str | type] = "ftkit.training.losses.cpt:CPTLoss"
    rows: ClassVar[tuple[str, ...]] = ("texts",)
    rows_hint: ClassVar[str] = ErrorText(
        "rows of plain text have one column, text; name another one with ",
        Argument("columns", "text=column", text='columns={"text": "column"}'),
    )
    token_loss: ClassVar[bool] = True
    adapter_rate: ClassVar[float] = 2e-4

    kind: Literal["cpt"] = "cpt"
    block_size: int = Field(default=1024, ge=8)
    """Tokens of a block. A batch is ``batch_size`` blocks, and the last block of an epoch may have fewer tokens."""
    packing: bool = True
    """Pack short texts together into blocks. Off: each text, or piece of one, is a block."""

    @override
    def resolve(self, facts: RecipeFacts) -> Self:
        # Texts are read once unless the user says otherwise: passes over the same texts teach little that is new.
        known = self.model_copy(update={"epochs": 1}) if self.epochs == "auto" else self
        return super(CPT, known).resolve(facts)

    @override
    def model_post_init(self, context: Any) -> None:
        super().model_post_init(context)
        if self.max_length is not None and self.max_length < self.block_size:
            raise ValueError(
                f"max_length ({self.max_length}) is less than block_size ({self.block_size}), at which texts are split"
            )
