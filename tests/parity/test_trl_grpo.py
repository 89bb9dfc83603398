"""Group-relative policy optimisation as ftkit and TRL compute it, from the rewards of the same answers on.

The answers were drawn with other weights than those of the loss, so ratios are not 1 and some are clipped.
"""

from __future__ import annotations

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
from tests.parity.trl_side import DrawnGroup
from tests.tiny import END

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


def groups() -> list[DrawnGroup]:
    draw = np.random.default_rng(0)

    def some(count: int) -> list[int]:
        return [int(token) for token in draw.integers(3, 40_000, count)]

    found = []
    for number in range(3):
        answers = [[*some(2 + at + number), END] for at in range(3)] + [some(LIMIT)]  # the last one is truncated
        found.append(DrawnGroup(some(20 + number), answers, [float(x) for x in draw.normal(size=4)]))
    return found


@pytest.mark.parametrize("name", VARIANTS)
def test_loss_and_gradients_are_those_of_trl(name: str, tiny_model: str, tmp_path: Path):
    theirs, ours = VARIANTS[name]
    torch.manual_seed(0)
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32), CONFIG)
    drawn, now = (
        {n: one.detach() + size * torch.randn_like(one) for n, one in model.named_parameters() if one.requires_grad}
        for size in (0.05, 0.06)
    )
    found = trl_side.grpo(
        tiny_model, CONFIG, drawn, now, groups(), tmp_path, max_completion_length=LIMIT,
        **{"beta": 0.0, "epsilon": 0.1, **theirs},
    )  # fmt: skip
    recipe = ft.RFT(
        grader=StringCheckGrader(reference="x"), num_generations=4, num_iterations=2, max_output_tokens=LIMIT,
        adapter=ft.LoRA(rank=4, lora_alpha=8), **{"epsilon": 0.1, **ours},
    )  # fmt: skip
    mine = drawn_batch(recipe, tiny_model, drawn, now, groups())
    assert abs(found.loss) > 1e-3
    assert mine.loss == pytest.approx(found.loss, rel=1e-5)
    assert mine.gradients.keys() == found.gradients.keys()
    for key, gradient in found.gradients.items():
        assert float((mine.gradients[key] - gradient).norm()) <= 1e-5 * float(gradient.norm()), key
