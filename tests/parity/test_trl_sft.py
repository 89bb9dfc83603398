"""ftkit's supervised fine-tuning beside TRL's: the same rows, weights and settings give the same numbers in float32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import ftkit as ft
from ftkit.training.adapters.adapted_model import AdaptedModel
from ftkit.training.dataloader import TokenRows
from tests.parity import trl_side
from tests.parity.ftkit_side import Ran, run_job
from tests.parity.rows import of_different_lengths, recipe, sequences_of, tokens_of
from tests.parity.trl_side import Found
from tests.tiny import quick_first

ADAPTERS = {"lora": ft.LoRA(rank=4), "dora": ft.DoRA(rank=4), "full": ft.Full()}


def stir(adapted: AdaptedModel) -> None:
    """LoRA's B is zero at first, which would hide a wrong gradient of A."""
    torch.manual_seed(0)
    for parameter in adapted.parameters.values():
        parameter.data += 0.05 * torch.randn_like(parameter)


def by_transformers(folder: str, ran: Ran, found: TokenRows) -> Found:
    """Loss and accuracy of the supervised tokens, each row alone through the model's own forward."""
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    if ran.config is not None:
        model = get_peft_model(model, ran.config)
    trainable = {name: one for name, one in model.named_parameters() if one.requires_grad}
    for name, one in ran.weights.items():
        trainable[name].data.copy_(one)
    total, right = torch.zeros(()), 0
    for row in sequences_of(found):
        ids = torch.from_numpy(row.ids).long().unsqueeze(0)
        labels = ids.masked_fill(~torch.from_numpy(row.supervised), -100)
        made = model(input_ids=ids, labels=labels, num_items_in_batch=found.supervised)
        total = total + made.loss
        right += int((made.logits[0, :-1].argmax(-1) == labels[0, 1:]).sum())
    total.backward()
    gradients = {name: one.grad for name, one in trainable.items()}
    return Found(float(total.detach()), gradients, right / found.supervised)


def same(mine: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> None:
    assert mine.keys() == theirs.keys()
    for name, gradient in theirs.items():
        assert float((mine[name] - gradient).norm()) <= 1e-5 * float(gradient.norm()), name


@pytest.mark.parametrize("kind", quick_first(ADAPTERS, "lora"))
def test_loss_and_gradients_of_a_batch_are_those_of_trl_and_of_transformers_alone(
    kind: str, tiny_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    data = of_different_lengths(9)
    for budget in (4096, 100):  # in one pack, and in several
        ran = run_job(
            monkeypatch, recipe(ADAPTERS[kind], batch_size=9, max_batch_tokens=budget), data, tiny_model,
            tmp_path / f"ftkit-{budget}", before=stir,
        )  # fmt: skip
        [loss] = ran.steps("loss")
        found = tokens_of(data, tiny_model)
        for theirs in (
            trl_side.sft(tiny_model, ran.config, ran.weights, sequences_of(found), tmp_path / "trl"),
            by_transformers(tiny_model, ran, found),
        ):
            assert loss == pytest.approx(theirs.loss, rel=1e-5)
            same(ran.first_gradients, theirs.gradients)
        assert ran.summary["shared_prefix"]


@pytest.mark.slow
def test_token_accuracy_of_a_batch_is_that_of_trl_and_of_transformers_alone(
    tiny_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    data = of_different_lengths(9)
    learned = tmp_path / "learned"  # so that about half of the tokens are right
    run_job(
        monkeypatch, recipe(ADAPTERS["full"], epochs=12, batch_size=9, learning_rate=3e-3), data, tiny_model, learned
    )
    ran = run_job(
        monkeypatch,
        recipe(ADAPTERS["lora"], batch_size=9, max_batch_tokens=100),
        data,
        str(learned),
        tmp_path / "ftkit",
    )
    [accuracy] = ran.steps("token_accuracy")
    found = tokens_of(data, str(learned))
    theirs = trl_side.sft(str(learned), ran.config, ran.weights, sequences_of(found), tmp_path / "trl")
    assert 0.2 < accuracy < 0.9
    assert accuracy == pytest.approx(theirs.mean_token_accuracy, abs=1e-6)
    assert accuracy == by_transformers(str(learned), ran, found).mean_token_accuracy


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["lora", "dora", "full"])
def test_fifty_steps_in_the_same_order_have_the_same_losses_and_accuracies(
    kind: str, tiny_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    chosen = recipe(ADAPTERS[kind], epochs=5, batch_size=2)
    data = of_different_lengths(20)
    ran = run_job(monkeypatch, chosen, data, tiny_model, tmp_path / "ftkit")
    found = tokens_of(data, tiny_model)
    order = [one.sequences[0] for epoch in range(5) for batch in found.batches(epoch, 2, chosen.seed) for one in batch]
    theirs = trl_side.sft_steps(
        tiny_model, ran.config, ran.weights, order, tmp_path / "trl",
        batch_size=2, rates=ran.steps("learning_rate"), max_grad_norm=chosen.max_grad_norm,
    )  # fmt: skip
    mine, accuracies = ran.steps("loss"), ran.steps("token_accuracy")
    assert len(mine) == len(theirs) == 50
    assert mine[-1] < mine[0] - 0.1
    assert mine == pytest.approx([loss for loss, _ in theirs], abs=2e-5)
    assert accuracies == pytest.approx([accuracy for _, accuracy in theirs], abs=1e-6)
