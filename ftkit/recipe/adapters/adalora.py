"""AdaLoRA (Zhang et al. 2023, arXiv 2303.10512): low-rank adapters whose ranks are reallocated during training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator
from typing_extensions import override

from ftkit.recipe.adapters.base import Adapter, Auto, LayerNumbers, Modules

__all__ = ["AdaLoRA"]


class AdaLoRA(Adapter):
    """LoRA as P·Λ·Q whose ranks are reallocated during training to the layers that need them."""

    tuner_class: ClassVar[str | type] = "ftkit.training.adapters.adalora:AdaLoRATuner"
    continues: ClassVar[bool] = False
    averages: ClassVar[bool] = False  # an average of pruned directions is not 0
    elementwise_passes: ClassVar[int] = 7
    kernel_calls: ClassVar[int] = 8
    optimizer_state_bytes: ClassVar[int] = 12  # importance, its mean and its uncertainty, in float32

    kind: Literal["adalora"] = "adalora"
    init_rank: int = Field(default=12, ge=1, le=1024)
    """Rank of every layer at the start."""
    target_rank: int = Field(default=8, ge=1, le=1024)
    """Average rank of a layer at the end."""
    lora_alpha: float | Auto = "auto"
    """Scale of the update; ``"auto"`` is 2·init_rank."""
    lora_dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Dropout on the adapter's input."""
    target_modules: Modules = "all-linear"
    """As in LoRA."""
    layers_to_transform: LayerNumbers = None
    """As in LoRA."""
    warmup_steps: int | Auto = "auto"
    """Steps before ranks begin to fall (t_i in the paper); ``"auto"`` is a tenth of the run."""
    final_steps: int | Auto = "auto"
    """Steps at the end with the ranks fixed (t_f); ``"auto"`` is three tenths of the run."""
    interval_steps: int | Auto = "auto"
    """Steps between two reallocations (Δ_T); ``"auto"`` makes about twenty."""
    beta1: float = Field(default=0.85, gt=0.0, lt=1.0)
    """Smoothing of the sensitivity."""
    beta2: float = Field(default=0.85, gt=0.0, lt=1.0)
    """Smoothing of its uncertainty."""
    orth_reg_weight: float = Field(default=0.5, gt=0.0)
    """Weight of the penalty that keeps P and Q orthogonal."""

    @model_validator(mode="after")
    def _check(self) -> AdaLoRA:
        if self.target_rank >= self.init_rank:
            raise ValueError(
                f"target_rank {self.target_rank} must be below init_rank {self.init_rank}: ranks only fall"
            )
        for name, least in (("warmup_steps", 0), ("final_steps", 0), ("interval_steps", 1)):
            value = getattr(self, name)
            if value != "auto" and value < least:
                raise ValueError(f'{name} must be at least {least} or "auto", not {value}')
        if self.lora_alpha != "auto" and self.lora_alpha <= 0:
            raise ValueError(f"lora_alpha must be above 0, not {self.lora_alpha}")
        return self

    @property
    @override
    def inner_width(self) -> int:
        return self.init_rank

    @override
    def resolve(self, *, total_steps: int) -> Adapter:
        update: dict[str, Any] = {}
        if self.lora_alpha == "auto":
            update["lora_alpha"] = 2.0 * self.init_rank
        warmup = max(1, total_steps // 10) if self.warmup_steps == "auto" else self.warmup_steps
        final = max(1, (3 * total_steps) // 10) if self.final_steps == "auto" else self.final_steps
        if warmup + final >= total_steps:
            raise ValueError(
                f"adapter: AdaLoRA needs steps between warmup_steps ({warmup}) and final_steps ({final}) to move "
                f"ranks, and the run has {total_steps} in all; train longer, use smaller batches, or use LoRA"
            )
        every = max(1, (total_steps - warmup - final) // 20) if self.interval_steps == "auto" else self.interval_steps
        update |= {"warmup_steps": warmup, "final_steps": final, "interval_steps": every}
        return self.model_copy(update=update)

    @override
    def trainable_parameters(self, inputs: int, outputs: int) -> int:
        return self.init_rank * (inputs + outputs + 1)  # P, Q and the diagonal Λ

    @override
    def activation_bytes(self, outputs: int, compute_bytes: int) -> float:
        return 4 * self.init_rank + (0 if compute_bytes == 4 else 4 * outputs)

    @override
    def saved_weight_bytes(self, inputs: int) -> int:
        return 4 * self.init_rank * inputs  # Λ·Q

    @override
    @classmethod
    def matches_peft_config(cls, config: Mapping[str, Any], *, quantised: bool) -> bool:
        return config.get("peft_type") == "ADALORA"
