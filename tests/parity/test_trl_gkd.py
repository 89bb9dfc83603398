"""Distillation as ftkit and TRL's ``GKDTrainer`` compute it, beside the paper's formula on each sequence alone.

Source: Agarwal et al. 2024, arXiv 2306.13649, equation 1.
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
from ftkit.modeling.tokenized_example import Example, TokenizedConversation
from tests.parity import trl_side
from tests.parity.ftkit_side import batch
from tests.parity.trl_side import Found
from tests.tiny import save_tiny

CONFIG = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM")


@pytest.fixture(scope="module")
def teacher(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model of another width with the same tokens."""
    return save_tiny(tmp_path_factory.mktemp("teacher"), "llama", tokenizer, seed=5, intermediate_size=96)


def rows() -> list[TokenizedConversation]:
    draw = np.random.default_rng(0)
    found = []
    for prompt, answer in ((20, 6), (25, 3), (21, 9)):
        ids = draw.integers(3, 40_000, prompt + answer).astype(np.int32)
        found.append(TokenizedConversation(ids, np.arange(len(ids)) >= prompt))
    return found


def by_formula(folder: str, teacher: str, given: list[TokenizedConversation], beta: float, weights: Any) -> Found:
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32), CONFIG)
    judge = AutoModelForCausalLM.from_pretrained(teacher, dtype=torch.float32)
    trainable = {name: one for name, one in model.named_parameters() if one.requires_grad}
    for name, one in weights.items():
        trainable[name].data.copy_(one)
    total, tokens = torch.zeros(()), 0
    for row in given:
        ids, asked = torch.from_numpy(row.ids).long()[None], torch.from_numpy(row.supervised)[1:]
        q = model(ids).logits[0, :-1][asked].softmax(-1)
        with torch.no_grad():
            p = judge(ids).logits[0, :-1][asked].softmax(-1)
        if beta in (0, 1):
            first, second = (p, q) if beta == 0 else (q, p)
            total = total + (first * (first / second).log()).sum()
        else:
            m = beta * p + (1 - beta) * q
            total = total + (beta * p * (p / m).log() + (1 - beta) * q * (q / m).log()).sum()
        tokens += int(asked.sum())
    loss = total / tokens
    loss.backward()
    return Found(float(loss.detach()), {name: one.grad for name, one in trainable.items() if one.grad is not None})


@pytest.mark.parametrize(
    "beta", [0.5, pytest.param(0.0, marks=pytest.mark.slow), pytest.param(1.0, marks=pytest.mark.slow)]
)
def test_loss_and_gradients_are_those_of_trl_and_of_the_paper(
    beta: float, teacher: str, tiny_model: str, tmp_path: Path
):
    torch.manual_seed(0)
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32), CONFIG)
    weights = {
        name: one.detach() + 0.05 * torch.randn_like(one) for name, one in model.named_parameters() if one.requires_grad
    }
    wanted = by_formula(tiny_model, teacher, rows(), beta, weights)
    adapter, examples = ft.LoRA(rank=4, lora_alpha=8), [Example((row,)) for row in rows()]
    found = [
        trl_side.gkd(tiny_model, teacher, CONFIG, weights, rows(), tmp_path, beta),
        batch(ft.GKD(teacher=f"local:{teacher}", lmbda=0, beta=beta, adapter=adapter), tiny_model, weights, examples),
        # Of a teacher's whole vocabulary there is no rest.
        batch(
            ft.Distillation(teacher=f"local:{teacher}", top_k=10**6, beta=beta, adapter=adapter),
            tiny_model, weights, examples,
        ),
    ]  # fmt: skip
    for one in found:
        assert one.loss == pytest.approx(wanted.loss, rel=1e-5)
        for name, gradient in wanted.gradients.items():
            assert float((one.gradients[name] - gradient).norm()) <= 2e-5 * float(gradient.norm()), name
