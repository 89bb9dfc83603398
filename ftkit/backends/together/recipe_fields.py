"""What becomes of a recipe at Together AI.

Source: Together's API reference, POST /fine-tunes; https://docs.together.ai/docs/fine-tuning/overview.
"""

from __future__ import annotations

from typing import Any

from ftkit.backends.hosted.field_support import HERE_ONLY, HOST_CHOOSES, Treatment, Treatments
from ftkit.recipe import DPO, Recipe, RecipeFacts

__all__ = ["TREATMENTS", "parameters"]

_COMMON: dict[str, Treatment] = {
    "epochs": Treatment("honoured", "n_epochs"),
    "batch_size": Treatment("translated", 'batch_size; "auto" is the host\'s "max"'),
    "learning_rate": Treatment("honoured", "learning_rate"),
    "lr_scheduler_type": Treatment("honoured", "lr_scheduler", takes=("linear", "cosine")),
    "warmup_ratio": Treatment("honoured", "warmup_ratio"),
    "weight_decay": Treatment("honoured", "weight_decay"),
    "max_grad_norm": Treatment("honoured", "max_grad_norm"),
    "optimizer": HOST_CHOOSES,
    "adapter.kind": Treatment(
        "translated", "LoRA beside 16-bit weights, or all weights", takes=("lora", "qlora", "full")
    ),
    "adapter.rank": Treatment("honoured", "training_type.lora_r, as far as the model's limit"),
    "adapter.lora_alpha": Treatment("honoured", "training_type.lora_alpha"),
    "adapter.lora_dropout": Treatment("honoured", "training_type.lora_dropout"),
    "adapter.target_modules": Treatment("translated", "training_type.lora_trainable_modules, joined by commas"),
    "adapter.use_rslora": Treatment("refused", "the host scales by alpha/r"),
    "adapter.quant_type": HERE_ONLY,
    "adapter.double_quant": HERE_ONLY,
    "max_length": Treatment("honoured", "max_seq_length"),
    "max_batch_tokens": HERE_ONLY,
    "shared_prefix": HERE_ONLY,
    "precision": HOST_CHOOSES,
    "gradient_checkpointing": HERE_ONLY,
    "eval_steps": Treatment("refused", "the host counts looks at the validation rows; it makes ten"),
    "load_best_model_at_end": Treatment("no effect", "the host returns its last model"),
    "early_stopping_patience": Treatment("refused", "not offered through this backend"),
    "save_steps": HOST_CHOOSES,
    "save_total_limit": HERE_ONLY,
    "seed": Treatment("honoured", "random_seed"),
}

TREATMENTS: dict[str, Treatments] = {
    "sft": _COMMON,
    "dpo": _COMMON
    | {
        "beta": Treatment("honoured", "training_method.dpo_beta"),
        "loss_type": Treatment(
            "translated", "training_method.dpo_normalize_logratios_by_length", takes=("sigmoid", "sigmoid_norm")
        ),
        "label_smoothing": Treatment("refused", "the host has none"),
    },
}
"""By the recipe's kind."""


def parameters(recipe: Recipe, rows: int, *, validated: bool) -> dict[str, Any]:
    """The request's fields that the recipe decides."""
    resolved = recipe.resolve(RecipeFacts(rows=rows))
    adapter = resolved.adapter
    if adapter.trains_base_weights:
        training_type: dict[str, Any] = {"type": "Full"}
    else:
        described = adapter.model_dump()
        modules = described["target_modules"]
        training_type = {
            "type": "Lora",
            "lora_r": described["rank"],
            "lora_alpha": int(described["lora_alpha"]),
            "lora_dropout": described["lora_dropout"],
            "lora_trainable_modules": modules if isinstance(modules, str) else ",".join(modules),
        }
    method: dict[str, Any] = {"method": "sft", "train_on_inputs": False}
    if isinstance(recipe, DPO):
        method = {
            "method": "dpo",
            "dpo_beta": recipe.beta,
            "dpo_normalize_logratios_by_length": recipe.loss_type == "sigmoid_norm",
        }
    body: dict[str, Any] = {
        "n_epochs": resolved.epochs,
        "n_checkpoints": 1,
        "n_evals": 10 if validated else 0,
        "batch_size": "max" if recipe.batch_size == "auto" else recipe.batch_size,
        "learning_rate": resolved.learning_rate,
        "lr_scheduler": {
            "lr_scheduler_type": recipe.lr_scheduler_type,
            # Half a cycle, down to nothing, as here.
            "lr_scheduler_args": {"min_lr_ratio": 0.0}
            | ({"num_cycles": 0.5} if recipe.lr_scheduler_type == "cosine" else {}),
        },
        "warmup_ratio": recipe.warmup_ratio,
        "weight_decay": recipe.weight_decay,
        "max_grad_norm": recipe.max_grad_norm,
        "training_type": training_type,
        "training_method": method,
        "random_seed": recipe.seed,
    }
    if recipe.max_length is not None:
        body["max_seq_length"] = recipe.max_length
    return body
