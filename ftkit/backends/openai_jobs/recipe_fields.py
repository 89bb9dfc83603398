"""Which recipe fields hosts of OpenAI's jobs API support, and the hyperparameters that are sent."""

from __future__ import annotations

from typing import Any

from ftkit.backends.hosted.field_support import HOST_CHOOSES, LEARNS_ALL, LOCAL_ONLY, FieldSupport, FieldSupportTable
from ftkit.backends.hosted.host_profile import HostProfile
from ftkit.backends.openai_jobs.rft_fields import RFT_FIELDS
from ftkit.recipe import Recipe, RecipeFacts

__all__ = ["field_support", "hyperparameters"]

_COMMON: dict[str, FieldSupport] = {
    "epochs": FieldSupport("honoured", "n_epochs"),
    "batch_size": FieldSupport("honoured", "batch_size"),
    "learning_rate": FieldSupport("refused", "the host takes a multiplier of a rate that it chooses, not a rate"),
    "lr_scheduler_type": HOST_CHOOSES,
    "warmup_ratio": HOST_CHOOSES,
    "weight_decay": HOST_CHOOSES,
    "max_grad_norm": HOST_CHOOSES,
    "optimizer": HOST_CHOOSES,
    "adapter.kind": FieldSupport("translated", "the host trains its own kind of adapter", takes=("lora", "qlora")),
    "adapter.rank": HOST_CHOOSES,
    "adapter.lora_alpha": HOST_CHOOSES,
    "adapter.lora_dropout": HOST_CHOOSES,
    "adapter.target_modules": HOST_CHOOSES,
    "adapter.layers_to_transform": HOST_CHOOSES,
    "adapter.use_rslora": HOST_CHOOSES,
    "adapter.quant_type": LOCAL_ONLY,
    "adapter.double_quant": LOCAL_ONLY,
    "max_length": FieldSupport("refused", "the host truncates long rows at its own limit, see `ftkit catalog`"),
    "max_batch_tokens": LOCAL_ONLY,
    "shared_prefix": LOCAL_ONLY,
    "precision": HOST_CHOOSES,
    "gradient_checkpointing": LOCAL_ONLY,
    "eval_steps": HOST_CHOOSES,
    "load_best_model_at_end": FieldSupport(
        "no effect", "the host returns its last model, and keeps earlier ones as checkpoints"
    ),
    "early_stopping_patience": FieldSupport("refused", "the host does not stop early"),
    "eval_metric": FieldSupport("refused", "the host evaluates by loss; measure its model with ft.evaluate"),
    "eval_rows": LOCAL_ONLY,
    "eval_max_output_tokens": LOCAL_ONLY,
    "ema_decay": FieldSupport("refused", "the host returns the weights of a step, not their average"),
    "preserve": FieldSupport("refused", "the host trains on your rows alone; the probes of ft.evaluate measure harm"),
    "save_steps": HOST_CHOOSES,
    "save_total_limit": LOCAL_ONLY,
    "seed": FieldSupport("honoured", "seed"),
}

_WITH_ADAPTERS: dict[str, FieldSupport] = {
    "learning_rate": FieldSupport("honoured", "learning_rate"),
    "adapter.rank": FieldSupport("honoured", "lora_r (Crusoe: lora_rank)"),
    "adapter.lora_alpha": FieldSupport("honoured", "lora_alpha"),
    "adapter.lora_dropout": FieldSupport("honoured", "lora_dropout"),
}
"""For hosts whose request describes the adapter."""

_WITH_ADAPTERS_AT_TOP: dict[str, FieldSupport] = {
    "adapter.kind": FieldSupport("translated", "LoRA on 16-bit weights", takes=("lora", "qlora", "full")),
    "warmup_ratio": FieldSupport("honoured", "warmup_ratio"),
    "weight_decay": FieldSupport("honoured", "weight_decay"),
    "max_grad_norm": FieldSupport("honoured", "max_grad_norm"),
}

_WITH_ADAPTERS_IN_METHOD: dict[str, FieldSupport] = {
    "adapter.kind": FieldSupport("translated", "LoRA on 16-bit weights", takes=("lora", "qlora")),
    "lr_scheduler_type": FieldSupport("honoured", "lr_scheduler"),
}

_BY_RECIPE: dict[str, dict[str, FieldSupport]] = {
    "sft": {"train_reasoning": LEARNS_ALL, "neftune_noise_alpha": HOST_CHOOSES},
    "dpo": {
        "beta": FieldSupport("honoured", "method.dpo.hyperparameters.beta, at most 2"),
        "loss_type": FieldSupport("refused", "the host has only the sigmoid loss"),
        "label_smoothing": FieldSupport("refused", "the host has no label smoothing"),
    },
    "rft": RFT_FIELDS,
}
"""What each kind of recipe adds to the common fields."""


def field_support(profile: HostProfile) -> dict[str, FieldSupportTable]:
    """Return which recipe fields a host supports.

    Args:
        profile: the host.

    Returns:
        A table by kind of recipe. Kinds that ftkit does not send to hosts have the profile's own fields only.
    """
    common = dict(_COMMON)
    if profile.adapters:
        common |= _WITH_ADAPTERS
        common |= _WITH_ADAPTERS_AT_TOP if profile.parameters == "top" else _WITH_ADAPTERS_IN_METHOD
    return {
        kind: {**common, **_BY_RECIPE.get(kind, {}), **profile.field_support.get(kind, {})} for kind in profile.recipes
    }


def hyperparameters(profile: HostProfile, recipe: Recipe, rows: int) -> dict[str, Any]:
    """Return the hyperparameters of a request.

    ``"auto"`` is sent to hosts that choose the values of their own models. Hosts of open models get ftkit's numbers.

    Args:
        profile: the host.
        recipe: the recipe.
        rows: number of training rows.

    Returns:
        The hyperparameters under the host's names.
    """
    if profile.adapters:
        sent = _adapter_hyperparameters(profile, recipe, rows)
    else:
        sent = {"n_epochs": recipe.epochs, "batch_size": recipe.batch_size}
    if recipe.kind == "dpo":
        sent["beta"] = recipe.model_dump()["beta"]
    return sent if profile.hyperparameters is None else profile.hyperparameters(recipe, rows, sent)


def _adapter_hyperparameters(profile: HostProfile, recipe: Recipe, rows: int) -> dict[str, Any]:
    resolved = recipe.resolve(RecipeFacts(rows=rows))
    adapter = resolved.adapter.model_dump()
    sent: dict[str, Any] = {
        "n_epochs": resolved.epochs,
        "batch_size": resolved.batch_size,
        "learning_rate": resolved.learning_rate,
    }
    if profile.parameters == "top":
        sent |= {
            "warmup_ratio": recipe.warmup_ratio,
            "weight_decay": recipe.weight_decay,
            "max_grad_norm": recipe.max_grad_norm,
            "lora": not recipe.adapter.trains_base_weights,
        }
    else:
        sent["lr_scheduler"] = recipe.lr_scheduler_type
    if not recipe.adapter.trains_base_weights:
        sent |= {
            "lora_r" if profile.parameters == "top" else "lora_rank": adapter["rank"],
            "lora_alpha": int(adapter["lora_alpha"]),  # whole, see fractional_alpha
            "lora_dropout": adapter["lora_dropout"],
        }
    return sent
