"""What becomes of a recipe at Fireworks AI.

Source: Fireworks' API reference, supervisedFineTuningJobs, dpoJobs and reinforcementFineTuningJobs; https://docs.fireworks.ai.
"""

from __future__ import annotations

import json
from typing import Any

from ftkit.backends.hosted.field_support import HERE_ONLY, HOST_CHOOSES, Treatment, Treatments
from ftkit.graders import EvaluatorGrader
from ftkit.recipe import DPO, RFT, Recipe, RecipeFacts

__all__ = ["MOST_BETA", "TREATMENTS", "loss", "parameters", "rollouts"]

MOST_BETA = 0.5
"""Betas of DPO must be below."""

_COMMON: dict[str, Treatment] = {
    "epochs": Treatment("honoured", "epochs"),
    "batch_size": Treatment("honoured", "batchSizeSamples"),
    "learning_rate": Treatment("honoured", "learningRate"),
    "lr_scheduler_type": Treatment("honoured", "lrScheduler"),
    "warmup_ratio": Treatment("translated", "learningRateWarmupSteps, as a number of steps"),
    "weight_decay": Treatment("honoured", "optimizerWeightDecay"),
    "max_grad_norm": HOST_CHOOSES,
    "optimizer": HOST_CHOOSES,
    "adapter.kind": Treatment(
        "translated", "LoRA beside 16-bit weights; full is rank 0", takes=("lora", "qlora", "full")
    ),
    "adapter.rank": Treatment("honoured", "loraRank"),
    "adapter.lora_alpha": HOST_CHOOSES,
    "adapter.lora_dropout": HOST_CHOOSES,
    "adapter.target_modules": HOST_CHOOSES,
    "adapter.use_rslora": HOST_CHOOSES,
    "adapter.quant_type": HERE_ONLY,
    "adapter.double_quant": HERE_ONLY,
    "max_length": Treatment("honoured", "maxContextLength"),
    "max_batch_tokens": HERE_ONLY,
    "shared_prefix": HERE_ONLY,
    "precision": HOST_CHOOSES,
    "gradient_checkpointing": HERE_ONLY,
    "eval_steps": HOST_CHOOSES,
    "load_best_model_at_end": Treatment("no effect", "the host returns its last model"),
    "early_stopping_patience": Treatment("refused", "the host has given it up"),
    "save_steps": Treatment("refused", "not offered through this backend"),
    "save_total_limit": HERE_ONLY,
    "seed": HOST_CHOOSES,
}

TREATMENTS: dict[str, Treatments] = {
    "sft": _COMMON,
    "dpo": _COMMON
    | {
        "beta": Treatment("honoured", "lossConfig.dpo.beta, below 0.5"),
        "loss_type": Treatment("refused", "the host has the sigmoid loss, and ORPO, which is no DPO"),
        "label_smoothing": Treatment("refused", "the host has none"),
    },
    "rft": _COMMON
    | {
        "grader": Treatment("translated", "evaluator, the name of one of yours"),
        "num_generations": Treatment("honoured", "inferenceParameters.responseCandidatesCount"),
        "max_output_tokens": Treatment("honoured", "inferenceParameters.maxOutputTokens"),
        "temperature": Treatment("honoured", "inferenceParameters.temperature"),
        "top_p": Treatment("honoured", "inferenceParameters.topP"),
        "advantage": HOST_CHOOSES,
        "loss_type": Treatment("translated", "lossConfig.method, GRPO or DAPO", takes=("grpo", "dapo")),
        "importance_sampling_level": Treatment("translated", "sequence is lossConfig.method GSPO_TOKEN"),
        "epsilon": HOST_CHOOSES,
        "epsilon_high": HOST_CHOOSES,
        "beta": Treatment("honoured", "lossConfig.klBeta"),
        "use_bias_correction_kl": HOST_CHOOSES,
        "num_iterations": HOST_CHOOSES,
        "mask_truncated_completions": HOST_CHOOSES,
        "dynamic_sampling": HOST_CHOOSES,
        "eval_generations": HOST_CHOOSES,
        "compute_multiplier": Treatment("refused", "num_generations says how much is tried there"),
        "reasoning_effort": Treatment("translated", "inferenceParameters.extraBody"),
        "probe_prompts": Treatment("no effect", "answers are looked at beforehand on this machine alone"),
        "allow_python": Treatment("no effect", "says what this machine may run; the host runs the evaluator"),
        "isolation": HERE_ONLY,
        "embedder": Treatment("no effect", "is for graders that run on this machine; the host runs the evaluator"),
    },
}
"""By the recipe's kind."""


def parameters(recipe: Recipe, rows: int) -> dict[str, Any]:
    """The training part of the request."""
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


def rollouts(recipe: RFT) -> dict[str, Any]:
    """How answers are drawn, graded and learned from. GSPO-token is GSPO where all tokens of an answer have one
    advantage, as they have here (Zheng et al. 2025, arXiv 2507.18071, section 4.3)."""
    method = "GSPO_TOKEN" if recipe.importance_sampling_level == "sequence" else recipe.loss_type.upper()
    evaluator = recipe.grader.at_host() if isinstance(recipe.grader, EvaluatorGrader) else None
    drawn: dict[str, Any] = {
        "responseCandidatesCount": recipe.num_generations,
        "maxOutputTokens": recipe.max_output_tokens,
        "temperature": recipe.temperature,
        "topP": recipe.top_p,
    }
    if recipe.reasoning_effort != "default":
        drawn["extraBody"] = json.dumps({"reasoning_effort": recipe.reasoning_effort})
    return {
        "evaluator": evaluator,
        "inferenceParameters": drawn,
        "lossConfig": {"method": method, "klBeta": recipe.beta},
    }


def loss(recipe: DPO) -> dict[str, Any]:
    """The loss, said in full because the host's own word on its default is not one."""
    return {"method": "DPO", "dpo": {"beta": recipe.beta}}
