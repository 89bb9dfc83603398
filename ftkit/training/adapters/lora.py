"""LoRA, QLoRA and DoRA on a model, through PEFT."""

from __future__ import annotations

from typing import Any

from peft import LoraConfig
from typing_extensions import override

from ftkit.recipe import DoRA, LoRA, QLoRA
from ftkit.training.adapters.base import AdapterTuner

__all__ = ["LoRATuner"]


class LoRATuner(AdapterTuner[LoRA | QLoRA | DoRA]):
    """A low-rank adapter on linear layers."""

    kept_factors = ("lora_A",)

    @override
    def peft_config(self, model: Any) -> LoraConfig:
        adapter = self.adapter
        modules = adapter.target_modules
        return LoraConfig(
            r=adapter.rank,
            lora_alpha=adapter.lora_alpha,
            lora_dropout=adapter.lora_dropout,
            target_modules=modules if isinstance(modules, str) else list(modules),
            use_rslora=adapter.use_rslora,
            use_dora=adapter.kind == "dora",
        )
