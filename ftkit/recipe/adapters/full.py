"""Full fine-tuning: no adapter."""

from __future__ import annotations

from typing import ClassVar, Literal

from typing_extensions import override

from ftkit.recipe.adapters.base import Adapter

__all__ = ["Full"]


class Full(Adapter):
    """No adapter: every weight is trained. Needs about 16 bytes of memory per parameter."""

    tuner_class: ClassVar[str | type] = "ftkit.training.adapters.full:FullTuner"
    trains_base_weights: ClassVar[bool] = True
    learning_rate_divisor: ClassVar[float] = 10
    continues: ClassVar[bool] = False

    kind: Literal["full"] = "full"

    @override
    def trainable_parameters(self, inputs: int, outputs: int) -> int:
        return inputs * outputs
