"""Low-rank adapters: LoRA, and two variants of it.

Sources: LoRA (Hu et al. 2021, arXiv 2106.09685), rsLoRA (Kalajdzievski 2023, arXiv 2312.03732), QLoRA (Dettmers et al.
2023, arXiv 2305.14314), DoRA (Liu et al. 2024, arXiv 2402.09353).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator
from typing_extensions import override

from ftkit.recipe.adapters.base import Adapter, Auto, LayerNumbers, Modules, Quantization

__all__ = ["DoRA", "LoRA", "QLoRA"]


class _LowRank(Adapter):
    tuner_class: ClassVar[str | type] = "ftkit.training.adapters.lora:LoRATuner"

    rank: int = Field(default=16, ge=1, le=1024)
    """Rank r of the update B·A. Capacity grows with it; 8 to 32 is enough for most behaviours."""
    lora_alpha: float | Auto = Field(default="auto")
    """Scale of the update: alpha/r, or alpha/√r with rsLoRA. ``"auto"`` is 2·rank."""
    lora_dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Dropout on the adapter's input."""
    target_modules: Modules = "all-linear"
    """Names of the linear layers that get an adapter; by default all of them but the output layer."""
    layers_to_transform: LayerNumbers = None
    """Numbers of the transformer layers that get an adapter, from 0, as PEFT's field; ``None``: all layers. Below the
    lowest one no gradient is computed, which saves time and memory."""
    use_rslora: bool = False
    """Scale by alpha/√r, which keeps the size of the update steady as the rank grows."""

    @model_validator(mode="after")
    def _check(self) -> _LowRank:
        if self.lora_alpha != "auto" and self.lora_alpha <= 0:
            raise ValueError(f"lora_alpha must be above 0, not {self.lora_alpha}")
        if isinstance(self.target_modules, tuple) and not self.target_modules:
            raise ValueError('target_modules is empty: nothing would be trained; name layers or use "all-linear"')
        return self

    @override
    def resolve(self, *, total_steps: int) -> Adapter:
        return self.model_copy(update={"lora_alpha": 2.0 * self.rank}) if self.lora_alpha == "auto" else self

    @override
    def trainable_parameters(self, inputs: int, outputs: int) -> int:
        return self.rank * (inputs + outputs)


class LoRA(_LowRank):
    """Low-rank adapters beside 16- or 32-bit weights: W·x + (alpha/r)·B·A·x, with W frozen."""

    merges_for_sampling: ClassVar[bool] = True
    loads_at_run_time: ClassVar[bool] = True

    kind: Literal["lora"] = "lora"

    @override
    @classmethod
    def matches_peft_config(cls, config: Mapping[str, Any], *, quantised: bool) -> bool:
        return config.get("peft_type") == "LORA" and not config.get("use_dora") and not quantised


class QLoRA(_LowRank):
    """LoRA beside weights held in 4 bits (bitsandbytes), which fits a model in a quarter of the memory.

    With double quantisation a weight takes 4 + 8/64 + 32/(64·256) ≈ 4.127 bits.
    """

    loads_at_run_time: ClassVar[bool] = True

    kind: Literal["qlora"] = "qlora"
    quant_type: Literal["nf4", "fp4"] = "nf4"
    """4-bit data type; NF4 is made for normally distributed weights."""
    double_quant: bool = True
    """Quantise the quantisation constants too."""

    @property
    @override
    def quantization(self) -> Quantization:
        return Quantization(self.quant_type, self.double_quant)

    @property
    @override
    def unquantized(self) -> LoRA:
        return LoRA(**{name: getattr(self, name) for name in _LowRank.model_fields if name != "kind"})

    @override
    @classmethod
    def matches_peft_config(cls, config: Mapping[str, Any], *, quantised: bool) -> bool:
        return config.get("peft_type") == "LORA" and not config.get("use_dora") and quantised


class DoRA(_LowRank):
    """Weight-decomposed LoRA: the magnitude of each column is trained beside the low-rank direction."""

    elementwise_passes: ClassVar[int] = 12
    kernel_calls: ClassVar[int] = 20

    kind: Literal["dora"] = "dora"

    @override
    def trainable_parameters(self, inputs: int, outputs: int) -> int:
        return super().trainable_parameters(inputs, outputs) + outputs  # the magnitudes

    @override
    def activation_bytes(self, outputs: int, compute_bytes: int) -> float:
        return 4 * self.rank + (compute_bytes + 4) * outputs  # both results that the magnitude scales

    @override
    def workspace_bytes(self, inputs: int, outputs: int) -> int:
        return 4 * (inputs**2 + 4 * inputs * outputs)  # B·A, computed from the identity, and W + B·A

    @override
    def weight_work(self, inputs: int, outputs: int) -> tuple[int, int]:
        # PEFT forms B·A by sending the identity through both, adds it to W and takes the norm of each row.
        operations = 2 * self.rank * inputs * (inputs + outputs)
        return operations, 4 * (2 * inputs**2 + 7 * inputs * outputs)

    @override
    @classmethod
    def matches_peft_config(cls, config: Mapping[str, Any], *, quantised: bool) -> bool:
        return config.get("peft_type") == "LORA" and bool(config.get("use_dora"))
