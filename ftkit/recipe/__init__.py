"""What to train: recipes and adapters, as frozen objects that are the same as YAML."""

from ftkit.recipe.adapters import ADAPTERS, AdaLoRA, Adapter, DoRA, Full, LoRA, QLoRA, Quantization
from ftkit.recipe.base import AnyAdapter, Grading, Recipe, RecipeFacts
from ftkit.recipe.cpt import CPT
from ftkit.recipe.distillation import Distillation
from ftkit.recipe.dpo import DPO
from ftkit.recipe.gkd import GKD
from ftkit.recipe.grid import expand_grid, field_values
from ftkit.recipe.kto import KTO
from ftkit.recipe.losses import LOSSES, RecipeFile, load_recipe, load_recipe_file, parse_recipe
from ftkit.recipe.model_size import ModelSize
from ftkit.recipe.orpo import ORPO
from ftkit.recipe.plugin_modules import import_plugin_modules, plugin_modules
from ftkit.recipe.preserve import Preserve
from ftkit.recipe.reward_model import RewardModel
from ftkit.recipe.rft import RFT
from ftkit.recipe.rollout_engines import ROLLOUTS, RolloutEngine
from ftkit.recipe.sft import SFT
from ftkit.recipe.simpo import SimPO

__all__ = [
    "ADAPTERS",
    "CPT",
    "DPO",
    "GKD",
    "KTO",
    "LOSSES",
    "ORPO",
    "RFT",
    "ROLLOUTS",
    "SFT",
    "AdaLoRA",
    "Adapter",
    "AnyAdapter",
    "Distillation",
    "DoRA",
    "Full",
    "Grading",
    "LoRA",
    "ModelSize",
    "Preserve",
    "QLoRA",
    "Quantization",
    "Recipe",
    "RecipeFacts",
    "RecipeFile",
    "RewardModel",
    "RolloutEngine",
    "SimPO",
    "expand_grid",
    "field_values",
    "import_plugin_modules",
    "load_recipe",
    "load_recipe_file",
    "parse_recipe",
    "plugin_modules",
]
