"""Which recipe fields Fireworks AI supports, and the parameters that are sent.

Source: Fireworks' API reference, supervisedFineTuningJobs, dpoJobs and reinforcementFineTuningJobs; https://docs.fireworks.ai.
"""

from __future__ import annotations

import json
from typing import Any

from ftkit.backends.hosted.field_support import HOST_CHOOSES, LEARNS_ALL, LOCAL_ONLY, FieldSupport, FieldSupportTable
from ftkit.graders import EvaluatorGrader
from ftkit.recipe import RFT, Recipe, RecipeFacts

__all__ = ["FIELD_SUPPORT", "MAX_BETA", "dpo_loss", "request_parameters", "rft_parameters"]

MAX_BETA = 0.5
"""DPO's beta must be below this."""

_COMMON: dict[str, FieldSupport] = {
    "epochs": FieldSupport("honoured", "epochs"),
    "batch_size": FieldSupport("honoured", "batchSizeSamples"),
    "learning_rate": FieldSupport("honoured", "learningRate"),
    "lr_scheduler_type": FieldSupport("honoured", "lrScheduler"),
    "warmup_ratio": FieldSupport("translated", "learningRateWarmupSteps, as a number of steps"),
    "weight_decay": FieldSupport("honoured", "optimizerWeightDecay"),
    "max_grad_norm": HOST_CHOOSES,
    "optimizer": HOST_CHOOSES,
    "adapter.kind": FieldSupport(
        "translated", "LoRA on 16-bit weights; full is rank 0", takes=("lora", "qlora", "full")
    ),
    "adapter.rank": FieldSupport("honoured", "loraRank"),
    "adapter.lora_alpha": HOST_CHOOSES,
    "adapter.lora_dropout": HOST_CHOOSES,
    "adapter.target_modules": HOST_CHOOSES,
    "adapter.layers_to_transform": HOST_CHOOSES,
    "adapter.use_rslora": HOST_CHOOSES,
    "adapter.quant_type": LOCAL_ONLY,
    "adapter.double_quant": LOCAL_ONLY,
    "max_length": FieldSupport("honoured", "maxContextLength"),
    "max_batch_tokens": LOCAL_ONLY,
    "shared_prefix": LOCAL_ONLY,
    "precision": HOST_CHOOSES,
    "gradient_checkpointing": LOCAL_ONLY,
    "eval_steps": HOST_CHOOSES,
    "load_best_model_at_end": FieldSupport("no effect", "the host returns its last model"),
    "early_stopping_patience": FieldSupport("refused", "the host no longer offers it"),
    "eval_metric": FieldSupport("refused", "the host evaluates by loss; measure its model with ft.evaluate"),
    "eval_rows": LOCAL_ONLY,
    "eval_max_output_tokens": LOCAL_ONLY,
    "ema_decay": FieldSupport("refused", "the host returns the weights of a step, not their average"),
    "preserve": FieldSupport("refused", "the host trains on your rows alone; the probes of ft.evaluate measure harm"),
    "save_steps": FieldSupport("refused", "not offered through this backend"),
    "save_total_limit": LOCAL_ONLY,
    "seed": HOST_CHOOSES,
}

FIELD_SUPPORT: dict[str, FieldSupportTable] = {
    "sft": _COMMON | {"train_reasoning": LEARNS_ALL, "neftune_noise_alpha": HOST_CHOOSES},
    "dpo": _COMMON
    | {
        "beta": FieldSupport("honoured", "lossConfig.dpo.beta, below 0.5"),
        "loss_type": FieldSupport("refused", "the host has the sigmoid loss, and ORPO, which is not DPO"),
        "label_smoothing": FieldSupport("refused", "the host has no label smoothing"),
    },
    "rft": _COMMON
    | {
        "grader": FieldSupport("translated", "evaluator, the name of one of yours"),
        "num_generations": FieldSupport("honoured", "inferenceParameters.responseCandidatesCount"),
        "max_output_tokens": FieldSupport("honoured", "inferenceParameters.maxOutputTokens"),
        "temperature": FieldSupport("honoured", "inferenceParameters.temperature"),
        "top_p": FieldSupport("honoured", "inferenceParameters.topP"),
        "advantage": HOST_CHOOSES,
        "loss_type": FieldSupport("translated", "lossConfig.method, GRPO or DAPO", takes=("grpo", "dapo")),
        "importance_sampling_level": FieldSupport("translated", "sequence is lossConfig.method GSPO_TOKEN"),
        "epsilon": HOST_CHOOSES,
        "epsilon_high": HOST_CHOOSES,
        "beta": FieldSupport("honoured", "lossConfig.klBeta"),
        "use_bias_correction_kl": HOST_CHOOSES,
        "num_iterations": HOST_CHOOSES,
        "mask_truncated_completions": HOST_CHOOSES,
        "dynamic_sampling": HOST_CHOOSES,
        "rollouts": HOST_CHOOSES,
        "rollout_correction": HOST_CHOOSES,
        "rollout_correction_clip_max": HOST_CHOOSES,
        "max_sampler_difference": HOST_CHOOSES,
        "eval_generations": HOST_CHOOSES,
        "compute_multiplier": FieldSupport("refused", "use num_generations there"),
        "reasoning_effort": FieldSupport("translated", "inferenceParameters.extraBody"),
        "probe_prompts": FieldSupport("no effect", "answers are sampled before the run on this machine only"),
        "allow_python": FieldSupport("no effect", "says what this machine may run; the host runs the evaluator"),
        "isolation": LOCAL_ONLY,
        "embedder": FieldSupport("no effect", "is for graders that run on this machine; the host runs the evaluator"),
    },
}
"""By the recipe's kind."""


def request_parameters(recipe: Recipe, rows: int) -> dict[str, Any]:
    """Return the training part of the request.

    Args:
        recipe: the recipe.
        rows: number of training rows.

    Returns:
        The fields under the host's names.
    """
    resolved = recipe.resolve(RecipeFacts(rows=rows))
    body: dict[str, Any] = {
        "epochs": resolved.epochs,
        "batchSizeSamples": resolved.batch_size,
        "learningRate": resolved.learning_rate,
        "lrScheduler": recipe.lr_scheduler_type,
        "learningRateWarmupSteps": round(recipe.warmup_ratio * resolved.total_steps(rows)),
        "optimizerWeightDecay": recipe.weight_decay,
        "loraRank": 0 if recipe.adapter.trains_base_weights else recipe.adapter.model_dump()["rank"],
    }
    if recipe.max_length is not None:
        body["maxContextLength"] = recipe.max_length
    return body


def rft_parameters(recipe: RFT) -> dict[str, Any]:
    """Return how answers are sampled, graded and learned from.

    GSPO-token equals GSPO if all tokens of an answer have one advantage, as they have here (Zheng et al. 2025,
    arXiv 2507.18071, section 4.3).

    Args:
        recipe: the recipe.

    Returns:
        The fields under the host's names.
    """
    method = "GSPO_TOKEN" if recipe.importance_sampling_level == "sequence" else recipe.loss_type.upper()
    evaluator = recipe.grader.at_host() if isinstance(recipe.grader, EvaluatorGrader) else None
    sampling: dict[str, Any] = {
        "responseCandidatesCount": recipe.num_generations,
        "maxOutputTokens": recipe.max_output_tokens,
        "temperature": recipe.temperature,
        "topP": recipe.top_p,
    }
    if recipe.reasoning_effort != "default":
        sampling["extraBody"] = json.dumps({"reasoning_effort": recipe.reasoning_effort})
    return {
        "evaluator": evaluator,
        "inferenceParameters": sampling,
        "lossConfig": {"method": method, "klBeta": recipe.beta},
    }


def dpo_loss(beta: float) -> dict[str, Any]:
    """Return the loss of DPO. It is sent in full, because the host's documents do not say what its default is.

    Args:
        beta: the recipe's beta.

    Returns:
        The JSON object.
    """
    return {"method": "DPO", "dpo": {"beta": beta}}
