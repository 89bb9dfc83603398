"""Full fine-tuning: every weight of the model is trained, in float32."""

from __future__ import annotations

from typing import Any

from typing_extensions import override

from ftkit.recipe import Full
from ftkit.training.adapters.base import AdapterTuner

__all__ = ["FullTuner"]


class FullTuner(AdapterTuner[Full]):
    """Makes every weight trainable."""

    @override
    def attach(self, model: Any, *, scores: bool) -> Any:
        model.float()  # bfloat16 weights round away AdamW's small steps
        model.requires_grad_(requires_grad=True)
        return model
