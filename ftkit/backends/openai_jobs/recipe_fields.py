"""What becomes of a recipe at a host of OpenAI's jobs API."""

from __future__ import annotations

from typing import Any

from ftkit.backends.hosted.field_support import HERE_ONLY, HOST_CHOOSES, Treatment, Treatments
from ftkit.backends.openai_jobs.profiles import Profile
from ftkit.backends.openai_jobs.rft_fields import REINFORCEMENT
from ftkit.recipe import DPO, Recipe, RecipeFacts

__all__ = ["hyperparameters", "treatments"]

_LAST = Treatment("no effect", "the host returns its last model, and keeps earlier ones as checkpoints")

_COMMON: dict[str, Treatment] = {
    "epochs": Treatment("honoured", "n_epochs"),
    "batch_size": Treatment("honoured", "batch_size"),
    "learning_rate": Treatment("refused", "the host takes a multiplier of a rate it chooses, not a rate"),
    "lr_scheduler_type": HOST_CHOOSES,
    "warmup_ratio": HOST_CHOOSES,
    "weight_decay": HOST_CHOOSES,
    "max_grad_norm": HOST_CHOOSES,
    "optimizer": HOST_CHOOSES,
    "adapter.kind": Treatment("translated", "the host trains its own kind of adapter", takes=("lora", "qlora")),
    "adapter.rank": HOST_CHOOSES,
    "adapter.lora_alpha": HOST_CHOOSES,
    "adapter.lora_dropout": HOST_CHOOSES,
    "adapter.target_modules": HOST_CHOOSES,
    "adapter.use_rslora": HOST_CHOOSES,
    "adapter.quant_type": HERE_ONLY,
    "adapter.double_quant": HERE_ONLY,
    "max_length": Treatment("refused", "the host cuts long rows at its own limit, which `ftkit catalog` shows"),
    "max_batch_tokens": HERE_ONLY,
    "shared_prefix": HERE_ONLY,
    "precision": HOST_CHOOSES,
    "gradient_checkpointing": HERE_ONLY,
    "eval_steps": HOST_CHOOSES,
    "load_best_model_at_end": _LAST,
    "early_stopping_patience": Treatment("refused", "the host does not stop early"),
    "save_steps": HOST_CHOOSES,
    "save_total_limit": HERE_ONLY,
    "seed": Treatment("honoured", "seed"),
}

_ADAPTERS: dict[str, Treatment] = {
    "learning_rate": Treatment("honoured", "learning_rate"),
    "adapter.kind": Treatment("translated", "LoRA beside 16-bit weights", takes=("lora", "qlora", "full")),
    "adapter.rank": Treatment("honoured", "lora_r (Crusoe: lora_rank)"),
    "adapter.lora_alpha": Treatment("honoured", "lora_alpha"),
    "adapter.lora_dropout": Treatment("honoured", "lora_dropout"),
}

_DPO: dict[str, Treatment] = {
    "beta": Treatment("honoured", "method.dpo.hyperparameters.beta, at most 2"),
    "loss_type": Treatment("refused", "the host has the sigmoid loss only"),
    "label_smoothing": Treatment("refused", "the host has none"),
}


def treatments(profile: Profile) -> dict[str, Treatments]:
    """By the recipe's kind."""
    common = dict(_COMMON)
    if profile.adapters:
        common |= _ADAPTERS
        if profile.parameters == "top":
            common["warmup_ratio"] = Treatment("honoured", "warmup_ratio")
            common["weight_decay"] = Treatment("honoured", "weight_decay")
            common["max_grad_norm"] = Treatment("honoured", "max_grad_norm")
        else:
            common["lr_scheduler_type"] = Treatment("honoured", "lr_scheduler")
            common["adapter.kind"] = Treatment("translated", "LoRA beside 16-bit weights", takes=("lora", "qlora"))
    rewarded = common | REINFORCEMENT
    if profile.name == "bedrock-mantle":
        rewarded["compute_multiplier"] = Treatment("refused", "the host's documents name no such setting")
    every: dict[str, Treatments] = {"sft": common, "dpo": common | _DPO, "rft": rewarded}
    return {kind: every[kind] for kind in profile.kinds}


def hyperparameters(profile: Profile, recipe: Recipe, rows: int) -> dict[str, Any]:
    """The host's hyperparameters. ``"auto"`` stays with OpenAI's own models, where the host knows better; for open
    models it becomes ftkit's number."""
    found: dict[str, Any] = {}
    if profile.adapters:
        resolved = recipe.resolve(RecipeFacts(rows=rows))
        adapter = resolved.adapter
        found = {
            "n_epochs": resolved.epochs,
            "batch_size": resolved.batch_size,
            "learning_rate": resolved.learning_rate,
        }
        if profile.parameters == "top":
            found |= {
                "warmup_ratio": recipe.warmup_ratio,
                "weight_decay": recipe.weight_decay,
                "max_grad_norm": recipe.max_grad_norm,
                "lora": adapter.kind != "full",
            }
        else:
            found["lr_scheduler"] = recipe.lr_scheduler_type
        if adapter.kind != "full":
            described = adapter.model_dump()
            found |= {
                "lora_r" if profile.parameters == "top" else "lora_rank": described["rank"],
                "lora_alpha": int(described["lora_alpha"]),
                "lora_dropout": described["lora_dropout"],
            }
    else:
        found = {"n_epochs": recipe.epochs, "batch_size": recipe.batch_size}
    if isinstance(recipe, DPO):
        found["beta"] = recipe.beta
    return found
