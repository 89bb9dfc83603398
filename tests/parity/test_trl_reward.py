"""Reward modelling as ftkit and TRL compute it, beside Bradley and Terry's formula on each sequence alone.

Source: −log σ(r_chosen − r_rejected − margin), Ouyang et al. 2022 (arXiv 2203.02155, eq. 1); the margin is Llama 2's
(Touvron et al. 2023, arXiv 2307.09288, eq. 2).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.nn.functional import logsigmoid
from transformers import AutoModelForSequenceClassification

import ftkit as ft
from tests.parity import trl_side
from tests.parity.ftkit_side import pairs_batch
from tests.parity.trl_side import PreferencePair

CONFIG = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="SEQ_CLS")


@pytest.mark.parametrize("margins", [False, True])
@pytest.mark.parametrize("center", [None, 0.01])
def test_loss_and_gradients_are_those_of_trl_and_of_the_formula(
    margins: bool, center: float | None, tiny_model: str, tmp_path: Path
):
    draw = np.random.default_rng(0)

    def some(count: int) -> list[int]:
        return [int(token) for token in draw.integers(3, 40_000, count)]

    given = [PreferencePair(some(20 + n), some(3 + 2 * n), some(6 - n), margin=n / 4) for n in range(4)]
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(tiny_model, num_labels=1, dtype=torch.float32)
    model = get_peft_model(model, CONFIG)
    trainable = {name: one for name, one in model.named_parameters() if one.requires_grad}
    for one in trainable.values():
        one.data += 0.05 * torch.randn_like(one)
    weights = {name: one.detach().clone() for name, one in trainable.items()}
    found = trl_side.reward(
        tiny_model, CONFIG, weights, given, tmp_path, margins=margins, center_rewards_coefficient=center
    )

    def score(ids: list[int]) -> torch.Tensor:
        scored: torch.Tensor = model(input_ids=torch.tensor([ids])).logits[0, 0]
        return scored

    losses = []
    for pair in given:
        chosen, rejected = score(pair.prompt + pair.chosen), score(pair.prompt + pair.rejected)
        loss = -logsigmoid(chosen - rejected - (pair.margin if margins else 0.0))
        losses.append(loss + (0.0 if center is None else center) * (chosen + rejected) ** 2)
    total = torch.stack(losses).mean()
    total.backward()
    recipe = ft.RewardModel(adapter=ft.LoRA(rank=4, lora_alpha=8), center_rewards_coefficient=center or 0.0)
    mine = pairs_batch(recipe, tiny_model, weights, given if margins else [replace(pair, margin=0.0) for pair in given])
    for side in (found, mine):
        assert side.loss == pytest.approx(float(total.detach()), rel=1e-5)
        assert side.gradients.keys() == trainable.keys()
        for name, one in trainable.items():
            assert one.grad is not None
            assert float((side.gradients[name] - one.grad).norm()) <= 2e-5 * float(one.grad.norm()), name
