"""Direct preference optimisation as ftkit and TRL compute it, beside the papers' formulas on each sequence alone.

Sources: DPO (Rafailov et al. 2023, arXiv 2305.18290), IPO (Azar et al. 2023, arXiv 2310.12036), robust DPO (Chowdhury
et al. 2024, arXiv 2403.00409), conservative label smoothing (Mitchell 2023, https://ericmitchell.ai/cdpo.pdf).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.nn.functional import logsigmoid
from transformers import AutoModelForCausalLM

import ftkit as ft
from tests.parity import trl_side
from tests.parity.ftkit_side import pairs_batch
from tests.parity.trl_side import Found, PreferencePair
from tests.tiny import quick_first

CONFIG = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM")
BETA, SMOOTHING = 0.3, 0.1
Tensor = torch.Tensor


def pairs() -> list[PreferencePair]:
    draw = np.random.default_rng(0)

    def some(count: int) -> list[int]:
        return [int(token) for token in draw.integers(3, 40_000, count)]

    return [PreferencePair(some(20 + n), some(3 + 2 * n), some(6 - n)) for n in range(4)]


def by_formula(folder: str, given: Sequence[PreferencePair], loss_of: Callable[..., Tensor], weights: Any) -> Found:
    """Mean over pairs of ``loss_of(chosen ratio, rejected ratio, chosen length, rejected length)``.

    A ratio is log π(y|x) − log π_ref(y|x); the reference is the model without its adapter. Each sequence is computed
    alone.
    """
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32), CONFIG)
    trainable = {name: one for name, one in model.named_parameters() if one.requires_grad}
    for name, one in weights.items():
        trainable[name].data.copy_(one)

    def log_probability(prompt: list[int], completion: list[int]) -> Tensor:
        ids = torch.tensor([prompt + completion])
        each = model(input_ids=ids).logits[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None])
        return each[len(prompt) - 1 :].sum()

    def ratio(prompt: list[int], completion: list[int]) -> Tensor:
        with torch.no_grad(), model.disable_adapter():
            reference = log_probability(prompt, completion)
        return log_probability(prompt, completion) - reference

    losses = [
        loss_of(ratio(p.prompt, p.chosen), ratio(p.prompt, p.rejected), len(p.chosen), len(p.rejected)) for p in given
    ]
    total = torch.stack(losses).mean()
    total.backward()
    return Found(float(total.detach()), {name: one.grad for name, one in trainable.items() if one.grad is not None})


def sigmoid(chosen: Tensor, rejected: Tensor, chosen_length: int, rejected_length: int) -> Tensor:
    return -logsigmoid(BETA * (chosen - rejected))


def smoothed(chosen: Tensor, rejected: Tensor, chosen_length: int, rejected_length: int) -> Tensor:
    delta = BETA * (chosen - rejected)
    return -(1 - SMOOTHING) * logsigmoid(delta) - SMOOTHING * logsigmoid(-delta)


def robust(chosen: Tensor, rejected: Tensor, chosen_length: int, rejected_length: int) -> Tensor:
    delta = BETA * (chosen - rejected)
    return -((1 - SMOOTHING) * logsigmoid(delta) - SMOOTHING * logsigmoid(-delta)) / (1 - 2 * SMOOTHING)


def ipo(chosen: Tensor, rejected: Tensor, chosen_length: int, rejected_length: int) -> Tensor:
    return (chosen / chosen_length - rejected / rejected_length - 1 / (2 * BETA)) ** 2


def normalised(chosen: Tensor, rejected: Tensor, chosen_length: int, rejected_length: int) -> Tensor:
    return -logsigmoid(BETA * (chosen / chosen_length - rejected / rejected_length))


LOSSES: dict[str, tuple[Callable[..., Tensor], dict[str, Any], dict[str, Any]]] = {
    "sigmoid": (sigmoid, {"loss_type": "sigmoid"}, {}),
    "label smoothing": (
        smoothed, {"loss_type": "aot", "label_smoothing": SMOOTHING}, {"label_smoothing": SMOOTHING},
    ),
    "robust": (robust, *[{"loss_type": "robust", "label_smoothing": SMOOTHING}] * 2),
    "ipo": (ipo, *[{"loss_type": "ipo"}] * 2),
    "length-normalised": (normalised, *[{"loss_type": "sigmoid_norm"}] * 2),
}  # fmt: skip
"""Of each loss the formula, TRL's settings and ftkit's."""


@pytest.mark.parametrize("kind", quick_first(LOSSES, "sigmoid", "ipo", "length-normalised"))
def test_loss_and_gradients_are_those_of_trl_and_of_the_formula(kind: str, tiny_model: str, tmp_path: Path):
    loss_of, settings, ours = LOSSES[kind]
    given = pairs()[:1] if settings["loss_type"] == "aot" else pairs()  # which sorts a batch; of one pair it is plain
    torch.manual_seed(0)
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32), CONFIG)
    weights = {
        name: one.detach() + 0.05 * torch.randn_like(one) for name, one in model.named_parameters() if one.requires_grad
    }
    found = trl_side.dpo(tiny_model, CONFIG, weights, given, tmp_path, beta=BETA, **settings)
    wanted = by_formula(tiny_model, given, loss_of, weights)
    mine = pairs_batch(ft.DPO(beta=BETA, adapter=ft.LoRA(rank=4, lora_alpha=8), **ours), tiny_model, weights, given)
    for one in (found, mine):
        assert one.loss == pytest.approx(wanted.loss, rel=1e-5)
        assert one.gradients.keys() == wanted.gradients.keys()
        for name, gradient in wanted.gradients.items():
            assert float((one.gradients[name] - gradient).norm()) <= 2e-5 * float(gradient.norm()), name
    for name, gradient in found.gradients.items():
        assert float((mine.gradients[name] - gradient).norm()) <= 2e-5 * float(gradient.norm()), name
