"""Adapters in an ftkit job beside PEFT driven by hand: one padded batch, transformers' own forward, no ftkit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import AdaLoraConfig, LoraConfig, PeftConfig, get_peft_model
from transformers import AutoModelForCausalLM

import ftkit as ft
from ftkit.modeling.tokenized_example import TokenizedConversation
from tests.parity.ftkit_side import run_job
from tests.parity.rows import of_different_lengths, recipe, sequences_of, tokens_of
from tests.tiny import quick_first

EVERY_LINEAR = {"target_modules": "all-linear", "task_type": "CAUSAL_LM"}
PAIRS: dict[str, tuple[Any, PeftConfig]] = {
    "lora": (ft.LoRA(rank=4), LoraConfig(r=4, lora_alpha=8, **EVERY_LINEAR)),
    "rslora": (
        ft.LoRA(rank=4, lora_alpha=3.0, use_rslora=True, target_modules=("q_proj", "down_proj")),
        LoraConfig(r=4, lora_alpha=3, use_rslora=True, target_modules=["q_proj", "down_proj"], task_type="CAUSAL_LM"),
    ),
    "upper layers": (
        ft.LoRA(rank=4, target_modules=("q_proj", "down_proj"), layers_to_transform=[1]),
        LoraConfig(
            r=4, lora_alpha=8, target_modules=["q_proj", "down_proj"], layers_to_transform=[1], task_type="CAUSAL_LM"
        ),
    ),
    "dora": (ft.DoRA(rank=4), LoraConfig(r=4, lora_alpha=8, use_dora=True, **EVERY_LINEAR)),
    "adalora": (
        ft.AdaLoRA(init_rank=4, target_rank=2, warmup_steps=3, final_steps=5, interval_steps=2),
        AdaLoraConfig(
            init_r=4, target_r=2, lora_alpha=8, tinit=3, tfinal=5, deltaT=2, total_step=20, beta1=0.85, beta2=0.85,
            orth_reg_weight=0.5, **EVERY_LINEAR,
        ),
    ),
}  # fmt: skip
END = 2


def by_hand(folder: str, config: PeftConfig, seed: int) -> tuple[Any, dict[str, torch.nn.Parameter]]:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    torch.manual_seed(seed)
    adapted = get_peft_model(model, config).train()
    return adapted, {name: one for name, one in adapted.named_parameters() if one.requires_grad}


def padded(rows: list[TokenizedConversation]) -> dict[str, torch.Tensor]:
    length = max(len(row.ids) for row in rows)
    batch = {name: torch.zeros(len(rows), length, dtype=torch.long) for name in ("input_ids", "attention_mask")}
    batch["labels"] = torch.full((len(rows), length), -100)
    for number, row in enumerate(rows):
        ids, asked = torch.from_numpy(row.ids).long(), torch.from_numpy(row.supervised)
        batch["input_ids"][number, : len(ids)] = ids
        batch["attention_mask"][number, : len(ids)] = 1
        batch["labels"][number, : len(ids)] = ids.masked_fill(~asked, -100)
    return batch


@pytest.mark.parametrize("kind", quick_first(PAIRS, "lora", "upper layers", "dora"))
def test_an_adapter_begins_and_moves_as_peft_alone_does(
    kind: str, tiny_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    adapter, config = PAIRS[kind]
    data = of_different_lengths(9)
    # AdaLoRA plans its ranks over the run, so its run must be long enough for a plan.
    chosen = recipe(adapter, batch_size=9, epochs=20 if kind == "adalora" else 1, learning_rate=1e-7)
    ran = run_job(monkeypatch, chosen, data, tiny_model, tmp_path / "ftkit")
    model, trainable = by_hand(tiny_model, config, chosen.seed)
    assert ran.weights.keys() == trainable.keys()
    for name, one in ran.weights.items():
        assert torch.equal(one, trainable[name]), name

    torch.manual_seed(0)
    stirred = {name: one + 0.05 * torch.randn_like(one) for name, one in ran.weights.items()}

    def put(adapted: Any) -> None:
        for name, one in stirred.items():
            adapted.parameters[name].data.copy_(one)

    again = run_job(monkeypatch, chosen, data, tiny_model, tmp_path / "stirred", before=put)
    for name, one in stirred.items():
        trainable[name].data.copy_(one)
    out = model(**padded(sequences_of(tokens_of(data, tiny_model))))
    out.loss.backward()
    if kind == "adalora":
        penalty = again.adapted.tuner.penalty(again.adapted)
        assert again.steps("loss")[0] + float(penalty.detach()) == pytest.approx(float(out.loss.detach()), rel=1e-5)
    else:
        assert again.steps("loss")[0] == pytest.approx(float(out.loss.detach()), rel=1e-5)
    for name, one in trainable.items():
        assert one.grad is not None
        difference = float((again.first_gradients[name] - one.grad).norm())
        assert difference <= 1e-5 * float(one.grad.norm()), name


def test_adalora_moves_the_same_ranks_as_peft_driven_by_hand(
    tiny_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    adapter, config = PAIRS["adalora"]
    data = of_different_lengths(16)
    chosen = recipe(adapter, batch_size=4, epochs=5, learning_rate=2e-2, max_grad_norm=1e9)
    ran = run_job(monkeypatch, chosen, data, tiny_model, tmp_path / "ftkit")
    model, trainable = by_hand(tiny_model, config, chosen.seed)
    rates = iter(ran.steps("learning_rate"))
    optimizer = torch.optim.AdamW(trainable.values(), lr=1.0, weight_decay=0.0)
    found, step = tokens_of(data, tiny_model), 0
    for epoch in range(5):
        for batch in found.batches(epoch, 4, chosen.seed):
            step += 1
            optimizer.param_groups[0]["lr"] = next(rates)
            model(**padded([one.sequences[0] for one in batch])).loss.backward()
            optimizer.step()
            model.base_model.update_and_allocate(step)
            optimizer.zero_grad()
    kept = {
        name.removesuffix(".lora_E.default"): int((one != 0).sum())
        for name, one in trainable.items()
        if ".lora_E." in name
    }
    assert ran.summary["adalora_ranks"] == kept
    assert len(set(kept.values())) > 1
    for name, one in trainable.items():  # not only how many were kept, but which, and what they have become
        torch.testing.assert_close(ran.adapted.parameters[name].data, one.data, rtol=1e-3, atol=1e-4)
