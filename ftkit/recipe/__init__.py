"""What to train: recipes and adapters, as frozen objects that are the same thing as YAML."""

from ftkit.recipe.adapters import AdaLoRA, Adapter, AnyAdapter, DoRA, Full, LoRA, QLoRA
from ftkit.recipe.base import Recipe, RecipeFacts, load_recipe
from ftkit.recipe.sft import SFT

__all__ = [
    "SFT",
    "AdaLoRA",
    "Adapter",
    "AnyAdapter",
    "DoRA",
    "Full",
    "LoRA",
    "QLoRA",
    "Recipe",
    "RecipeFacts",
    "load_recipe",
]
