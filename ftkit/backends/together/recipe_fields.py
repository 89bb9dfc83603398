"""Which recipe fields Together AI supports, and the parameters that are sent.

Source: Together's API reference, POST /fine-tunes; https://docs.together.ai/docs/fine-tuning/overview.
"""

from __future__ import annotations

from typing import Any

from ftkit.backends.hosted.field_support import HOST_CHOOSES, LEARNS_ALL, LOCAL_ONLY, FieldSupport, FieldSupportTable
from ftkit.recipe import Recipe, RecipeFacts

__all__ = ["EVALUATIONS", "FIELD_SUPPORT", "request_parameters"]

EVALUATIONS = 10
"""How often the host is asked to evaluate validation rows; it charges for their tokens."""

_COMMON: dict[str, FieldSupport] = {
    "epochs": FieldSupport("honoured", "n_epochs"),
    "batch_size": FieldSupport("translated", 'batch_size; "auto" is the host\'s "max"'),
    "learning_rate": FieldSupport("honoured", "learning_rate"),
    "lr_scheduler_type": FieldSupport("honoured", "lr_scheduler", takes=("linear", "cosine")),
    "warmup_ratio": FieldSupport("honoured", "warmup_ratio"),
    "weight_decay": FieldSupport("honoured", "weight_decay"),
    "max_grad_norm": FieldSupport("honoured", "max_grad_norm"),
    "optimizer": HOST_CHOOSES,
    "adapter.kind": FieldSupport(
        "translated", "LoRA on 16-bit weights, or all weights", takes=("lora", "qlora", "full")
    ),
    "adapter.rank": FieldSupport("honoured", "training_type.lora_r, up to the model's limit"),
    "adapter.lora_alpha": FieldSupport("honoured", "training_type.lora_alpha"),
    "adapter.lora_dropout": FieldSupport("honoured", "training_type.lora_dropout"),
    "adapter.target_modules": FieldSupport("translated", "training_type.lora_trainable_modules, joined by commas"),
    "adapter.layers_to_transform": FieldSupport("refused", "the host adapts every layer"),
    "adapter.use_rslora": FieldSupport("refused", "the host scales by alpha/r"),
    "adapter.quant_type": LOCAL_ONLY,
    "adapter.double_quant": LOCAL_ONLY,
    "max_length": FieldSupport("honoured", "max_seq_length"),
    "max_batch_tokens": LOCAL_ONLY,
    "shared_prefix": LOCAL_ONLY,
    "precision": HOST_CHOOSES,
    "gradient_checkpointing": LOCAL_ONLY,
    "eval_steps": FieldSupport(
        "refused", "the host takes a number of evaluations and not an interval; ftkit asks for ten"
    ),
    "load_best_model_at_end": FieldSupport("no effect", "the host returns its last model"),
    "early_stopping_patience": FieldSupport("refused", "not offered through this backend"),
    "eval_metric": FieldSupport("refused", "the host evaluates by loss; measure its model with ft.evaluate"),
    "eval_rows": LOCAL_ONLY,
    "eval_max_output_tokens": LOCAL_ONLY,
    "ema_decay": FieldSupport("refused", "the host returns the weights of a step, not their average"),
    "preserve": FieldSupport("refused", "the host trains on your rows alone; the probes of ft.evaluate measure harm"),
    "save_steps": HOST_CHOOSES,
    "save_total_limit": LOCAL_ONLY,
    "seed": FieldSupport("honoured", "random_seed"),
}

FIELD_SUPPORT: dict[str, FieldSupportTable] = {
    "sft": _COMMON | {"train_reasoning": LEARNS_ALL, "neftune_noise_alpha": HOST_CHOOSES},
    "dpo": _COMMON
    | {
        "beta": FieldSupport("honoured", "training_method.dpo_beta"),
        "loss_type": FieldSupport(
            "translated", "training_method.dpo_normalize_logratios_by_length", takes=("sigmoid", "sigmoid_norm")
        ),
        "label_smoothing": FieldSupport("refused", "the host has no label smoothing"),
    },
}
"""By the recipe's kind."""


def request_parameters(recipe: Recipe, rows: int, *, validated: bool) -> dict[str, Any]:
    """Return the fields of the request that follow from the recipe.

    Args:
        recipe: the recipe.
        rows: number of training rows.
        validated: whether there are validation rows.

    Returns:
        The fields under the host's names.
    """
    resolved = recipe.resolve(RecipeFacts(rows=rows))
    adapter, values = resolved.adapter.model_dump(), recipe.model_dump()
    if recipe.adapter.trains_base_weights:
        training_type: dict[str, Any] = {"type": "Full"}
    else:
        modules = adapter["target_modules"]
        training_type = {
            "type": "Lora",
            "lora_r": adapter["rank"],
            "lora_alpha": int(adapter["lora_alpha"]),  # whole, see fractional_alpha
            "lora_dropout": adapter["lora_dropout"],
            "lora_trainable_modules": modules if isinstance(modules, str) else ",".join(modules),
        }
    method: dict[str, Any] = {"method": "sft", "train_on_inputs": False}
    if recipe.kind == "dpo":
        method = {
            "method": "dpo",
            "dpo_beta": values["beta"],
            "dpo_normalize_logratios_by_length": values["loss_type"] == "sigmoid_norm",
        }
    # Half a cosine cycle down to 0, as local runs do.
    cycles = {"num_cycles": 0.5} if recipe.lr_scheduler_type == "cosine" else {}
    body: dict[str, Any] = {
        "n_epochs": resolved.epochs,
        "n_checkpoints": 1,
        "n_evals": EVALUATIONS if validated else 0,
        "batch_size": "max" if recipe.batch_size == "auto" else recipe.batch_size,
        "learning_rate": resolved.learning_rate,
        "lr_scheduler": {
            "lr_scheduler_type": recipe.lr_scheduler_type,
            "lr_scheduler_args": {"min_lr_ratio": 0.0} | cycles,
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
