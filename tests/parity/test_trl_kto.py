"""Kahneman-Tversky optimisation as ftkit and TRL compute it, beside the paper's formula on each sequence alone.

Sources: KTO (Ethayarajh et al. 2024, arXiv 2402.01306, equation 7), APO-zero (D'Oosterlinck et al. 2024, arXiv
2408.06266).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

import ftkit as ft
from tests.parity import trl_side
from tests.parity.ftkit_side import labelled_batch
from tests.parity.trl_side import Found, LabelledAnswer

CONFIG = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM")
BETA = 0.3
SETTINGS: dict[str, dict[str, Any]] = {
    "kto": {},
    "weights": {"desirable_weight": 1.25, "undesirable_weight": 0.5},
    "apo_zero_unpaired": {"loss_type": "apo_zero_unpaired"},
}


def rows() -> list[LabelledAnswer]:
    draw = np.random.default_rng(0)

    def some(count: int) -> list[int]:
        return [int(token) for token in draw.integers(3, 40_000, count)]

    return [LabelledAnswer(some(20 + n), some(3 + 2 * n), n in (0, 2, 3)) for n in range(5)]


def by_formula(folder: str, given: Sequence[LabelledAnswer], recipe: ft.KTO, weights: Any) -> Found:
    """The loss as the paper writes it, each sequence computed alone. The reference is the model without its adapter."""
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32), CONFIG)
    trainable = {name: one for name, one in model.named_parameters() if one.requires_grad}
    for name, one in weights.items():
        trainable[name].data.copy_(one)

    def logprob(prompt: list[int], answer: list[int]) -> torch.Tensor:
        logits = model(torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1]
        return logits.log_softmax(-1).gather(1, torch.tensor(answer)[:, None]).sum()

    def ratio(prompt: list[int], answer: list[int]) -> torch.Tensor:
        with torch.no_grad(), model.disable_adapter():
            before = logprob(prompt, answer)
        return logprob(prompt, answer) - before

    z = torch.zeros(())
    if recipe.loss_type == "kto":
        with torch.no_grad():
            shifted = [given[-1], *given[:-1]]
            moved = [ratio(one.prompt, other.completion) for one, other in zip(given, shifted, strict=True)]
            z = torch.stack(moved).mean().clamp(min=0)
    losses = []
    for one in given:
        gain = recipe.beta * (ratio(one.prompt, one.completion) - z)
        value = torch.sigmoid(gain if one.label else -gain)
        losses.append((recipe.desirable_weight if one.label else recipe.undesirable_weight) * (1 - value))
    total = torch.stack(losses).mean()
    total.backward()
    gradients = {name: one.grad for name, one in trainable.items() if one.grad is not None}
    return Found(float(total.detach()), gradients, metrics={"kl": float(z)})


@pytest.mark.parametrize(
    ("kind", "direction"),
    [
        ("kto", 1),
        ("weights", -1),
        pytest.param("kto", -1, marks=pytest.mark.slow),
        pytest.param("weights", 1, marks=pytest.mark.slow),
        pytest.param("apo_zero_unpaired", 1, marks=pytest.mark.slow),
    ],
)
def test_loss_and_gradients_are_those_of_trl_and_of_the_paper(
    kind: str, direction: int, tiny_model: str, tmp_path: Path
):
    recipe = ft.KTO(beta=BETA, adapter=ft.LoRA(rank=4, lora_alpha=8), **SETTINGS[kind])
    given = rows()
    torch.manual_seed(0)
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32), CONFIG)
    weights = {
        name: one.detach() + 0.05 * torch.randn_like(one) for name, one in model.named_parameters() if one.requires_grad
    }
    if direction < 0:  # the estimate of the divergence has the other sign, and 0 replaces it
        weights = {name: -one if "lora_B" in name else one for name, one in weights.items()}
    order = np.random.default_rng([recipe.seed, 0]).permutation(len(given))  # of the first step
    shuffled = [given[at] for at in order]
    found = trl_side.kto(tiny_model, CONFIG, weights, shuffled, tmp_path, beta=BETA, **SETTINGS[kind])
    wanted = by_formula(tiny_model, shuffled, recipe, weights)
    mine = labelled_batch(recipe, tiny_model, weights, given)
    for one in (found, mine):
        assert one.loss == pytest.approx(wanted.loss, rel=1e-5)
        assert one.metrics["kl"] == pytest.approx(wanted.metrics["kl"], rel=1e-4, abs=1e-5)
        for name, gradient in wanted.gradients.items():
            assert float((one.gradients[name] - gradient).norm()) <= 2e-5 * float(gradient.norm()), name
    for ours, theirs in {"chosen": "chosen", "rejected": "rejected", "margin": "margins"}.items():
        assert mine.metrics[f"rewards_{ours}"] == pytest.approx(found.metrics[f"rewards/{theirs}"], rel=1e-4)
