"""How a model's weights are changed: low-rank adapters of four kinds, or all of them.

Sources: LoRA (Hu et al. 2021, arXiv 2106.09685), rsLoRA (Kalajdzievski 2023, arXiv 2312.03732), QLoRA (Dettmers et al.
2023, arXiv 2305.14314), DoRA (Liu et al. 2024, arXiv 2402.09353), AdaLoRA (Zhang et al. 2023, arXiv 2303.10512).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from ftkit.recipe.field_docs import with_fields
from ftkit.schema import Declared

__all__ = ["AdaLoRA", "Adapter", "AnyAdapter", "DoRA", "Full", "LoRA", "QLoRA"]

Auto = Literal["auto"]

# A list may be given, which type checkers must allow; kept is a tuple, so that adapters stay frozen and hashable.
if TYPE_CHECKING:
    Modules = Literal["all-linear"] | Sequence[str]
else:
    Modules = Literal["all-linear"] | tuple[str, ...]


class Adapter(Declared):
    """Base of the adapters. Frozen; every ``"auto"`` is turned into a number by :meth:`resolve` and recorded."""

    kind: str

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        with_fields(cls)

    def resolve(self, *, total_steps: int) -> Adapter:
        """The same adapter without any ``"auto"``.

        Args:
            total_steps: optimiser steps of the whole run.
        """
        return self


class _LowRank(Adapter):
    rank: int = Field(default=16, ge=1, le=1024)
    """Rank r of the update B·A. Capacity grows with it; 8 to 32 is enough for most behaviours."""
    lora_alpha: float | Auto = Field(default="auto")
    """Scale of the update: alpha/r, or alpha/√r with rsLoRA. ``"auto"`` is 2·rank."""
    lora_dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Dropout on the adapter's input."""
    target_modules: Modules = "all-linear"
    """Names of the linear layers that get an adapter; all of them (without the output layer) by default."""
    use_rslora: bool = False
    """Scale by alpha/√r, which keeps the update's size steady as the rank grows."""

    @model_validator(mode="after")
    def _check(self) -> _LowRank:
        if self.lora_alpha != "auto" and self.lora_alpha <= 0:
            raise ValueError(f"lora_alpha must be above 0, not {self.lora_alpha}")
        if isinstance(self.target_modules, tuple) and not self.target_modules:
            raise ValueError('target_modules is empty: nothing would be trained; name layers or use "all-linear"')
        return self

    def resolve(self, *, total_steps: int) -> Adapter:
        return self.model_copy(update={"lora_alpha": 2.0 * self.rank}) if self.lora_alpha == "auto" else self


class LoRA(_LowRank):
    """Low-rank adapters beside 16- or 32-bit weights: W·x + (alpha/r)·B·A·x, with W frozen."""

    kind: Literal["lora"] = "lora"


class QLoRA(_LowRank):
    """LoRA beside weights held in 4 bits (bitsandbytes), which fits a model in a quarter of the memory.

    With double quantisation a weight takes 4 + 8/64 + 32/(64·256) ≈ 4.127 bits.
    """

    kind: Literal["qlora"] = "qlora"
    quant_type: Literal["nf4", "fp4"] = "nf4"
    """4-bit data type; NF4 is made for normally distributed weights."""
    double_quant: bool = True
    """Quantise the quantisation constants too."""


class DoRA(_LowRank):
    """Weight-decomposed LoRA: the magnitude of each column is trained beside the low-rank direction."""

    kind: Literal["dora"] = "dora"


class AdaLoRA(Adapter):
    """LoRA as P·Λ·Q whose ranks are moved during training to the layers that need them."""

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


class Full(Adapter):
    """No adapter: every weight is trained. Needs about 16 bytes of memory a parameter."""

    kind: Literal["full"] = "full"


AnyAdapter = Annotated[LoRA | QLoRA | DoRA | AdaLoRA | Full, Field(discriminator="kind")]
"""Any of the adapters, told apart by ``kind``."""
