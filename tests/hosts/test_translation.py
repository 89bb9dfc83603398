"""Every field of every recipe on every host: honoured, translated or refused by name, and never dropped."""

from __future__ import annotations

from pathlib import Path

import pytest

import ftkit as ft
from ftkit.backends.fireworks import Fireworks
from ftkit.backends.hosted.field_support import check_fields, flatten_recipe
from ftkit.backends.openai_jobs import OpenAIJobs
from ftkit.backends.registry import HOSTS as HOST_PROFILES
from ftkit.backends.together import Together
from ftkit.errors import RefusedError
from ftkit.recipe import LOSSES, Recipe

from .support_table import table

HOSTS = [
    *(OpenAIJobs("m", profile=name, base_url="http://x", api_key="k") for name in HOST_PROFILES.names()),
    Together("m", api_key="k"),
    Fireworks("m", account="a", api_key="k"),
]
CHECK = {"type": "string_check", "name": "right", "input": "{{sample.output_text}}", "reference": "{{item.team}}"}
GRADERS = {
    "bedrock-mantle": [
        {"type": "lambda", "function": f"arn:aws:lambda:us-east-1:123456789012:function:{name}"} for name in ("a", "b")
    ],
    "fireworks": [{"type": "evaluator", "evaluator": f"accounts/acme/evaluators/{name}"} for name in ("a", "b")],
}
"""Two graders that a host takes, where they are others than OpenAI's."""
OTHER = {
    "epochs": 7, "batch_size": 6, "learning_rate": 3e-4, "lr_scheduler_type": "cosine", "warmup_ratio": 0.25,
    "weight_decay": 0.125, "max_grad_norm": 0.5, "optimizer": "adamw", "max_length": 512, "max_batch_tokens": 999,
    "shared_prefix": False, "precision": "fp32", "gradient_checkpointing": True, "eval_steps": 3,
    "load_best_model_at_end": False, "early_stopping_patience": 2, "save_steps": 5, "save_total_limit": 4, "seed": 11,
    "eval_metric": "record_exact", "eval_rows": 7, "eval_max_output_tokens": 9, "preserve": True,
    "ema_decay": 0.9, "neftune_noise_alpha": 5.0,
    "train_reasoning": False, "beta": 0.3, "loss_type": "sigmoid_norm", "label_smoothing": 0.125,
    "adapter.rank": 4, "adapter.lora_alpha": 12.0, "adapter.lora_dropout": 0.0625,
    "adapter.target_modules": ("q_proj",), "adapter.layers_to_transform": (1, 2),
    "adapter.use_rslora": True, "adapter.quant_type": "fp4", "adapter.double_quant": False, "adapter.kind": "dora",
}  # fmt: skip
"""A value of each field that is not its default."""
OTHER_OF_RFT = {
    "num_generations": 4, "max_output_tokens": 99, "temperature": 0.5, "top_p": 0.9, "advantage": "rloo",
    "loss_type": "grpo", "importance_sampling_level": "sequence", "epsilon": 0.1, "epsilon_high": 0.3,
    "num_iterations": 2, "mask_truncated_completions": True, "dynamic_sampling": 1, "eval_generations": 3,
    "rollouts": "vllm", "rollout_correction": "sequence_mask", "rollout_correction_clip_max": 2.0,
    "max_sampler_difference": 0.5,
    "compute_multiplier": 0.5, "reasoning_effort": "low",
    "probe_prompts": 0, "use_bias_correction_kl": False, "allow_python": True, "isolation": "process",
    "embedder": "local:smollm2-135m",
}  # fmt: skip
GO_TOGETHER = {
    "importance_sampling_level": {"loss_type": "grpo"},
    "rollout_correction": {"rollouts": "vllm"},
    "rollout_correction_clip_max": {"rollouts": "vllm"},
    "max_sampler_difference": {"rollouts": "vllm"},
}
"""Fields that a recipe takes with others alone."""


def _with(kind: str, name: str, host: str = "openai") -> Recipe:
    adapter: dict = {"kind": "qlora"}
    given: dict = {"kind": kind, "adapter": adapter}
    if kind == "rft":
        first, second = GRADERS.get(host, [CHECK, {**CHECK, "operation": "like"}])
        given |= {"grader": second if name == "grader" else first} | GO_TOGETHER.get(name, {})
        if name in OTHER_OF_RFT:
            return LOSSES.get(kind).model_validate({**given, name: OTHER_OF_RFT[name]})
        if name == "grader":
            return LOSSES.get(kind).model_validate(given)
    if name == "adapter.kind":
        given["adapter"] = {"kind": OTHER[name]}
    elif name.startswith("adapter."):
        adapter[name.removeprefix("adapter.")] = OTHER[name]
    elif name:
        given[name] = OTHER[name]
    return LOSSES.get(kind).model_validate(given)


CASES = [
    (host, kind, name) for host in HOSTS for kind in host.field_support for name in flatten_recipe(_with(kind, ""))
]


@pytest.mark.parametrize("host", HOSTS, ids=lambda host: host.name)
def test_no_field_is_without_a_word(host):
    for kind, support in host.field_support.items():
        for adapter in ("lora", "qlora", "full"):
            more = {"grader": CHECK} if kind == "rft" else {}
            recipe = LOSSES.get(kind).model_validate({"kind": kind, "adapter": {"kind": adapter}, **more})
            assert set(flatten_recipe(recipe)) <= set(support)
        assert set(flatten_recipe(_with(kind, ""))) <= {
            *OTHER,
            "adapter.kind",
            *(OTHER_OF_RFT if kind == "rft" else ()),
            *more,
        }


@pytest.mark.parametrize(("host", "kind", "name"), CASES, ids=lambda part: getattr(part, "name", part))
def test_a_field_that_is_set_is_refused_or_reaches_the_host(host, kind, name):
    changed, plain = _with(kind, name, host.name), _with(kind, "", host.name)
    assert flatten_recipe(changed)[name] != flatten_recipe(plain)[name]
    support = host.field_support[kind][name]
    try:
        check_fields(changed, host.field_support[kind], host.name)
    except RefusedError as error:
        refused = error.fields
    else:
        refused = ()
    if refused:
        assert name in refused
        assert set(refused) <= {name, *GO_TOGETHER.get(name, ())}
        return
    assert support.how != "refused"
    files = {"training": "file-1"}
    sent = [host.request_body(recipe, 100, files, "key") for recipe in (changed, plain)]
    assert (sent[0] != sent[1]) == (support.how != "no effect")


def test_reward_models_are_refused_by_every_host():
    for host in HOSTS:
        assert "reward" not in host.field_support
        assert "reward" in ft.RewardModel().kind


def test_the_table_in_the_documents_is_what_the_code_does():
    page = (Path(__file__).parents[2] / "docs" / "hosted.md").read_text(encoding="utf-8")
    assert table(HOSTS) in page
