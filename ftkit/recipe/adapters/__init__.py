"""How a model's weights are changed: low-rank adapters, or full fine-tuning."""

from ftkit.recipe.adapters.adalora import AdaLoRA
from ftkit.recipe.adapters.base import ADAPTERS, Adapter, Quantization
from ftkit.recipe.adapters.full import Full
from ftkit.recipe.adapters.low_rank import DoRA, LoRA, QLoRA

__all__ = ["ADAPTERS", "AdaLoRA", "Adapter", "DoRA", "Full", "LoRA", "QLoRA", "Quantization"]
