"""What to train: recipes and adapters, as frozen objects that are the same thing as YAML."""

from ftkit.recipe.adapters import AdaLoRA, Adapter, AnyAdapter, DoRA, Full, LoRA, QLoRA
from ftkit.recipe.base import Recipe, RecipeFacts, load_recipe
from ftkit.recipe.dpo import DPO
from ftkit.recipe.reward_model import RewardModel
from ftkit.recipe.rft import RFT
from ftkit.recipe.sft import SFT

__all__ = [
    "DPO",
    "RFT",
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
    "RewardModel",
    "load_recipe",
]
