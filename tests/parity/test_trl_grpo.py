"""Group-relative policy optimisation as ftkit and TRL compute it, from the rewards of the same answers on.

The answers were drawn with other weights than those of the loss, so ratios are not 1 and some are clipped.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

import ftkit as ft
from ftkit.graders import StringCheckGrader
from tests.parity import trl_side
from tests.parity.ftkit_side import drawn_batch
from tests.parity.trl_side import DrawnGroup, Found
from tests.tiny import END, quick_first

CONFIG = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM")
LIMIT = 9

VARIANTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "grpo": ({"loss_type": "grpo"}, {"loss_type": "grpo"}),
    "dapo with clip-higher": (
        {"loss_type": "dapo", "epsilon_high": 0.28, "mask_truncated_completions": True},
        {"loss_type": "dapo", "epsilon_high": 0.28, "mask_truncated_completions": True},
    ),
    "dr_grpo": (
        {"loss_type": "dr_grpo", "scale_rewards": "none"},
        {"loss_type": "dr_grpo", "advantage": "dr_grpo"},
    ),
    "gspo": (*[{"loss_type": "grpo", "importance_sampling_level": "sequence", "epsilon": 0.02}] * 2,),
    "divergence": (*[{"loss_type": "dapo", "beta": 0.3}] * 2,),
    "plain divergence": (*[{"loss_type": "grpo", "beta": 0.3, "use_bias_correction_kl": False}] * 2,),
    "temperature": (*[{"loss_type": "dapo", "temperature": 0.7}] * 2,),
}  # fmt: skip
"""TRL's settings and ftkit's."""

CORRECTED: dict[str, dict[str, Any]] = {
    "token_truncate": {"loss_type": "dapo", "beta": 0.3},
    "token_mask": {"loss_type": "grpo", "temperature": 0.7},
    "sequence_truncate": {"loss_type": "dr_grpo"},
    "sequence_mask": {"loss_type": "grpo", "importance_sampling_level": "sequence", "epsilon": 0.02},
}
"""How the loss is corrected for another sampler, each with a variant of the loss."""


def groups() -> list[DrawnGroup]:
    draw = np.random.default_rng(0)

    def some(count: int) -> list[int]:
        return [int(token) for token in draw.integers(3, 40_000, count)]

    found = []
    for number in range(3):
        answers = [[*some(2 + at + number), END] for at in range(3)] + [some(LIMIT)]  # the last one is truncated
        found.append(DrawnGroup(some(20 + number), answers, [float(x) for x in draw.normal(size=4)]))
    return found


def both(
    theirs: dict[str, Any], ours: dict[str, Any], drawn_groups: list[DrawnGroup], tiny_model: str, output: Path,
    *, corrects: bool = False,
) -> tuple[Found, Found]:  # fmt: skip
    """What TRL and ftkit make of the same answers."""
    torch.manual_seed(0)
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32), CONFIG)
    drawn, now = (
        {n: one.detach() + size * torch.randn_like(one) for n, one in model.named_parameters() if one.requires_grad}
        for size in (0.05, 0.06)
    )
    found = trl_side.grpo(
        tiny_model, CONFIG, drawn, now, drawn_groups, output, corrects=corrects, max_completion_length=LIMIT,
        **{"beta": 0.0, "epsilon": 0.1, **theirs},
    )  # fmt: skip
    recipe = ft.RFT(
        grader=StringCheckGrader(reference="x"), num_generations=4, num_iterations=2, max_output_tokens=LIMIT,
        adapter=ft.LoRA(rank=4, lora_alpha=8), **{"epsilon": 0.1, **ours},
    )  # fmt: skip
    mine = drawn_batch(recipe, tiny_model, drawn, now, drawn_groups)
    assert abs(found.loss) > 1e-3
    assert mine.loss == pytest.approx(found.loss, rel=1e-5)
    assert mine.gradients.keys() == found.gradients.keys()
    for key, gradient in found.gradients.items():
        assert float((mine.gradients[key] - gradient).norm()) <= 1e-5 * float(gradient.norm()), key
    return found, mine


@pytest.mark.parametrize(
    "name", quick_first(VARIANTS, "grpo", "dapo with clip-higher", "dr_grpo", "gspo", "divergence")
)
def test_loss_and_gradients_are_those_of_trl(name: str, tiny_model: str, tmp_path: Path):
    both(*VARIANTS[name], groups(), tiny_model, tmp_path)


@pytest.mark.parametrize("mode", quick_first(CORRECTED, "token_truncate", "sequence_mask"))
def test_the_correction_for_another_sampler_is_that_of_trl(mode: str, tiny_model: str, tmp_path: Path):
    draw = np.random.default_rng(1)
    spread = 0.2 if mode.startswith("sequence") else 0.8

    def sampled(ids: list[int]) -> list[float]:
        return [float(-11 + x) for x in draw.normal(scale=spread, size=len(ids))]

    given = [replace(one, logprobs=[sampled(ids) for ids in one.completions]) for one in groups()]
    settings, limit = CORRECTED[mode], 1.5
    trl = {"vllm_importance_sampling_mode": mode, "vllm_importance_sampling_clip_max": limit}
    ours = {
        "rollouts": "vllm", "rollout_correction": mode, "rollout_correction_clip_max": limit,
        "max_sampler_difference": None,
    }  # fmt: skip
    found, mine = both({**settings, **trl}, {**settings, **ours}, given, tiny_model, tmp_path, corrects=True)
    said = {name.removeprefix("sampling/"): value for name, value in found.metrics.items()}
    assert mine.metrics["sampler_difference_max"] == pytest.approx(said["sampling_logp_difference/max"], rel=1e-5)
    assert 0 < mine.metrics["correction_limited_share"] < 1
    if mode.startswith("token"):
        ratios = {name: said[f"importance_sampling_ratio/{name}"] for name in ("mean", "max")}
        assert mine.metrics["correction_weight"] == pytest.approx(ratios["mean"], rel=1e-5)
        assert ratios["max"] == pytest.approx(limit, rel=0.2)
