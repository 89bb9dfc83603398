"""Learning from pairs: the losses are those of the papers, what is learnt can be used, and runs follow on one
another."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import logsigmoid

import ftkit as ft
from ftkit.training.job import Job, train
from ftkit.training.losses.dpo import dpo_losses
from ftkit.training.losses.orpo import log_odds
from tests.tiny import quick_first
from tests.training.test_checkpoints import Runner
from tests.training.test_training import ADAPTERS, TASK, recipe

GAINS = torch.tensor([[2.0, -1.0], [-3.0, 1.0], [0.5, 0.5]])
LENGTHS = torch.tensor([[4, 2], [5, 10], [1, 7]])


def pairs(count: int = 12, first: int = 0) -> ft.Dataset:
    """In the better answer the age comes first."""
    lines = [
        {"note": f"bed {n % 5}, {30 + n} years", "good": f"{30 + n} in {n % 5}", "bad": f"{n % 5} in {30 + n}"}
        for n in range(first, first + count)
    ]
    return ft.Dataset.from_rows(lines, TASK, chosen="good", rejected="bad")


def dpo(**changes: Any) -> ft.DPO:
    plain = {"epochs": 3, "batch_size": 4, "learning_rate": 5e-3, "precision": "fp32", "adapter": ADAPTERS["lora"]}
    return ft.DPO(**(plain | changes))


def reward(**changes: Any) -> ft.RewardModel:
    plain = {"epochs": 6, "batch_size": 4, "learning_rate": 1e-2, "precision": "fp32", "adapter": ADAPTERS["lora"]}
    return ft.RewardModel(**(plain | changes))


class Trained:
    def __init__(self, chosen: Any, model: str, output: Path, data: ft.Dataset, validation: ft.Dataset | None = None):
        self.folder = output
        self.events: list[tuple[str, dict[str, Any]]] = []
        job = Job(chosen, data, validation, model, output)
        self.summary = train(job, lambda kind, data: self.events.append((kind, data)))
        self.steps = [data for kind, data in self.events if kind == "step"]


def test_the_losses_are_those_of_the_papers():
    delta, means = GAINS[:, 0] - GAINS[:, 1], (GAINS / LENGTHS)[:, 0] - (GAINS / LENGTHS)[:, 1]
    for beta in (0.1, 0.7):
        found = {kind: dpo_losses(GAINS, LENGTHS, ft.DPO(beta=beta, loss_type=kind)) for kind in ("sigmoid", "ipo")}
        torch.testing.assert_close(found["sigmoid"], -logsigmoid(beta * delta))
        torch.testing.assert_close(found["ipo"], (means - 1 / (2 * beta)) ** 2)
        normed = dpo_losses(GAINS, LENGTHS, ft.DPO(beta=beta, loss_type="sigmoid_norm"))
        torch.testing.assert_close(normed, -logsigmoid(beta * means))
        smooth = dpo_losses(GAINS, LENGTHS, ft.DPO(beta=beta, label_smoothing=0.2))
        torch.testing.assert_close(smooth, -0.8 * logsigmoid(beta * delta) - 0.2 * logsigmoid(-beta * delta))
        robust = dpo_losses(GAINS, LENGTHS, ft.DPO(beta=beta, loss_type="robust", label_smoothing=0.2))
        torch.testing.assert_close(robust, (0.2 * logsigmoid(-beta * delta) - 0.8 * logsigmoid(beta * delta)) / 0.6)


def test_smoothing_of_a_loss_without_labels_is_refused():
    with pytest.raises(ValueError, match="label_smoothing has no meaning"):
        ft.DPO(loss_type="ipo", label_smoothing=0.1)


@pytest.mark.parametrize("kind", quick_first(ADAPTERS, "lora", "full"))
def test_the_better_answer_becomes_likelier(kind, tiny_model, tmp_path):
    rate = {"adalora": 5e-2, "full": 5e-4}.get(kind, 5e-3)
    more = {"epochs": 8} if kind == "adalora" else {}
    done = Trained(
        dpo(adapter=ADAPTERS[kind], learning_rate=rate, **more), tiny_model, tmp_path / "m", pairs(), pairs(4, 40)
    )
    # Before the first step the model is its own reference: no reward, and a loss of log 2.
    assert done.steps[0]["loss"] == pytest.approx(math.log(2), rel=1e-4)
    assert done.steps[0]["rewards_margin"] == pytest.approx(0, abs=1e-3)
    assert done.steps[-1]["rewards_accuracy"] > 0.7
    assert done.steps[-1]["rewards_margin"] > 0.05
    assert done.summary["validation_loss"] < done.summary["validation_loss_before"]


@pytest.mark.parametrize("loss_type", ["sigmoid_norm", "ipo", "robust"])
def test_every_loss_trains(loss_type, tiny_model, tmp_path):
    smoothing = 0.1 if loss_type == "robust" else 0.0
    chosen = dpo(loss_type=loss_type, label_smoothing=smoothing, epochs=4, beta=1.0)
    done = Trained(chosen, tiny_model, tmp_path / "m", pairs())
    assert done.steps[-1]["loss"] < done.steps[0]["loss"]


@pytest.mark.parametrize(
    "chosen",
    [
        ft.ORPO(epochs=3, batch_size=4, learning_rate=1e-2, precision="fp32", adapter=ADAPTERS["lora"]),
        ft.SimPO(epochs=3, batch_size=4, learning_rate=3e-3, precision="fp32", adapter=ADAPTERS["lora"]),
        *(
            pytest.param(recipe(learning_rate=rate, adapter=adapter, **common), marks=pytest.mark.slow)
            for recipe in (ft.ORPO, ft.SimPO)
            for adapter, rate in ((ADAPTERS["full"], 5e-4), (ADAPTERS["qlora"], 5e-3), (ADAPTERS["dora"], 5e-3))
            for common in [{"epochs": 4, "batch_size": 4, "precision": "fp32"}]
        ),
    ],
    ids=lambda chosen: f"{chosen.kind}-{chosen.adapter.kind}",
)
def test_losses_without_a_reference_prefer_the_better_answer(chosen, tiny_model, tmp_path):
    done = Trained(chosen, tiny_model, tmp_path / "m", pairs(), pairs(4, 40))
    assert done.steps[-1]["rewards_accuracy"] > 0.7
    assert done.summary["validation_loss"] < done.summary["validation_loss_before"]
    assert all("reference" not in str(data.get("message")) for kind, data in done.events if kind == "log")


def test_the_odds_of_a_certain_answer_are_finite():
    means = torch.tensor([[0.0, -1.0], [-1e-9, -80.0]], requires_grad=True)
    odds = log_odds(means)
    logsigmoid(odds).sum().backward()
    assert bool(torch.isfinite(odds).all())
    assert means.grad is not None
    assert bool(torch.isfinite(means.grad).all())


def test_a_killed_run_compares_with_the_same_reference(tiny_model, tmp_path):
    chosen = dpo(save_steps=2)
    whole, broken = (Runner(tiny_model, tmp_path / name, chosen) for name in ("whole", "broken"))
    for one in (whole, broken):
        one.job = Job(chosen, pairs(), None, tiny_model, one.job.output)
    whole.go()
    for step in (1, 3, 6):
        with pytest.raises(KeyboardInterrupt):
            broken.go(until=lambda kind, data, step=step: kind == "step" and data["step"] == step)
    broken.go()
    assert broken.weights == whole.weights
    assert broken.messages("log").count("computed the reference's log-probabilities") == 1


def test_preferences_follow_on_demonstrations(tiny_model, tmp_path):
    first = Trained(recipe(epochs=2), tiny_model, tmp_path / "sft", pairs())
    second = Trained(dpo(), str(first.folder), tmp_path / "dpo", pairs())
    # The reference is what the first run made.
    assert second.steps[0]["loss"] == pytest.approx(math.log(2), rel=1e-4)
    assert second.steps[-1]["rewards_accuracy"] > 0.7
    assert (
        ft.Model(f"local:{second.folder}", TASK, sampling=ft.Sampling(max_output_tokens=3)).predict(note="x")
        is not None
    )


def test_a_reward_model_begins_with_what_demonstrations_taught(tiny_model, tmp_path):
    first = Trained(recipe(epochs=2), tiny_model, tmp_path / "sft", pairs())
    fresh = Trained(reward(epochs=1, batch_size=12), tiny_model, tmp_path / "fresh", pairs())
    second = Trained(reward(), str(first.folder), tmp_path / "rm", pairs())
    assert second.steps[0]["loss"] != pytest.approx(fresh.steps[0]["loss"], rel=1e-6)
    assert ft.Scorer(f"local:{second.folder}").accuracy(pairs()) > 0.9
    with pytest.raises(ft.RefusedError, match="is a reward model"):
        Trained(dpo(), str(second.folder), tmp_path / "dpo", pairs())


@pytest.mark.parametrize("kind", quick_first(ADAPTERS, "lora", "qlora"))
def test_a_reward_model_tells_good_from_bad(kind, tiny_model, tmp_path):
    rate = {"adalora": 5e-2, "full": 1e-3}.get(kind, 1e-2)
    done = Trained(reward(adapter=ADAPTERS[kind], learning_rate=rate), tiny_model, tmp_path / "rm", pairs())
    assert done.steps[-1]["loss"] < 0.5 < done.steps[0]["loss"]
    scorer = ft.Scorer(f"local:{done.folder}")
    assert scorer.accuracy(pairs()) > 0.9
    rows = list(pairs(3))
    scores = scorer.score_many([row.messages for row in rows])
    assert scores == pytest.approx([scorer.score(row.messages) for row in rows], abs=1e-3)
    assert scores == pytest.approx(by_others(kind, done.folder, tiny_model, rows), abs=2e-3)
    with pytest.raises(ft.ModelError, match="is a reward model"):
        ft.Model(f"local:{done.folder}", TASK).predict(note="x")


def by_others(kind: str, folder: Path, base: str, rows: list[ft.Row]) -> list[float]:
    """Scores as a user of transformers and PEFT reads them, a batch with padding."""
    from peft import PeftModel
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, BitsAndBytesConfig

    tokenizer = AutoTokenizer.from_pretrained(folder)
    extra: dict[str, Any] = {}
    if kind == "qlora":
        extra["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True
        )
    name = folder if kind == "full" else base
    model = AutoModelForSequenceClassification.from_pretrained(
        name, num_labels=1, dtype=torch.float32, device_map={"": "cpu"}, pad_token_id=tokenizer.pad_token_id, **extra
    )
    if kind != "full":
        model = PeftModel.from_pretrained(model, folder)
    # Not ``eval()``: then bitsandbytes multiplies 4-bit weights in bfloat16 on CPUs that have it.
    model = model.train() if kind == "qlora" else model.eval()
    texts = [tokenizer.apply_chat_template(list(row.messages), tokenize=False).rstrip("\n") for row in rows]
    inputs = tokenizer(texts, return_tensors="pt", padding=True, padding_side="right", add_special_tokens=False)
    with torch.no_grad():
        found: list[float] = model(**inputs).logits[:, 0].tolist()
    return found


def test_a_margin_asks_for_a_wider_lead(tiny_model, tmp_path):
    lines = [{"prompt": f"say {n}", "chosen": f"yes {n}", "rejected": f"no {n}", "margin": 3.0} for n in range(8)]
    data = ft.Dataset.from_rows(lines)
    first = Trained(reward(epochs=1, batch_size=8), tiny_model, tmp_path / "rm", data).steps[0]
    lead = torch.tensor(first["rewards_margin"])
    assert first["loss"] == pytest.approx(float(-logsigmoid(lead - 3.0)), rel=0.05)


@pytest.mark.parametrize("chosen", [dpo(), reward()])
def test_demonstrations_are_no_pairs(chosen, tiny_model, tmp_path):
    data = ft.Dataset.from_rows([{"note": "n", "gold": "g"}] * 4, TASK, target="gold")
    with pytest.raises(ft.RefusedError, match="trains on preferences"):
        Trained(chosen, tiny_model, tmp_path / "m", data)
