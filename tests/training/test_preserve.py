"""Fine-tunes that do no harm: rehearsal and a divergence penalty hold what the model could, within a budget."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import ftkit as ft
from ftkit.errors import DataError, RefusedError, TrainingError
from ftkit.modeling.divergence import OutputLayer, linear_divergence
from ftkit.training.harm_budget import HarmBudget
from ftkit.training.recipe_check import check_recipe
from ftkit.training.rehearsal_rows import open_rehearsal
from tests.training.test_checkpoints import Runner
from tests.training.test_pairs import Trained as TrainedOnPairs
from tests.training.test_pairs import dpo, pairs, reward
from tests.training.test_training import ADAPTERS, Trained, recipe, rows

SMALL = {"max_rows": 8, "held_out": 4, "max_output_tokens": 6, "share": 0.5, "budget": None}


def small(**changes: Any) -> ft.Preserve:
    return ft.Preserve(**(SMALL | changes))


def harm(done: Any) -> list[float]:
    return [data["preserve_kl"] for kind, data in done.events if kind == "validation"]


def test_the_divergence_and_its_gradients_are_those_of_torch():
    torch.manual_seed(0)
    hidden, weight = torch.randn(300, 8, requires_grad=True), torch.randn(11, 8, requires_grad=True)
    bias = torch.randn(11, requires_grad=True)
    before, reference = torch.randn(300, 8), OutputLayer(torch.randn(11, 8), torch.randn(11))
    weights = torch.rand(300)
    total, each = linear_divergence(hidden, OutputLayer(weight, bias), before, reference, weights)
    (3 * total).backward()
    found = [hidden.grad.clone(), weight.grad.clone(), bias.grad.clone()]
    for one in (hidden, weight, bias):
        one.grad = None
    wanted, now = reference.log_probabilities(before), OutputLayer(weight, bias).log_probabilities(hidden)
    expected = torch.nn.functional.kl_div(now, wanted, reduction="none", log_target=True).sum(dim=-1)
    torch.testing.assert_close(each, expected.detach())
    (3 * (expected * weights).sum()).backward()
    torch.testing.assert_close(found, [hidden.grad, weight.grad, bias.grad], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "kind", ["lora", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("full", "qlora", "dora", "adalora"))]
)
def test_with_every_adapter_the_model_moves_less_on_what_is_preserved(kind, tiny_model, tmp_path):
    def trained(kl: float) -> Trained:
        # AdaLoRA's update is scaled by three small factors, so it begins slowly.
        slow = {"learning_rate": 5e-2, "epochs": 5} if kind == "adalora" else {"epochs": 2}
        chosen = recipe(ADAPTERS[kind], eval_steps=6, preserve=small(kl=kl), **slow)
        return Trained(tiny_model, tmp_path / f"model-{kl:g}", chosen, rows(), None)

    measured, held = trained(0.0), trained(30.0)  # a weight of 0 only measures
    assert harm(measured)[0] == pytest.approx(0, abs=1e-5)
    assert harm(held)[-1] < 0.7 * harm(measured)[-1]
    step = held.of("step")[-1]
    assert step["preserve_weight"] == 30
    assert step["preserve_kl"] >= 0
    assert held.summary["preserve_kl"] == harm(held)[-1]
    assert held.summary["preserve_seconds"] > 0


def test_pairs_are_learnt_without_harm_too(tiny_model, tmp_path):
    def trained(kl: float) -> TrainedOnPairs:
        return TrainedOnPairs(dpo(epochs=2, preserve=small(kl=kl)), tiny_model, tmp_path / f"model-{kl:g}", pairs(8))

    measured, held = trained(0.0), trained(30.0)
    assert harm(held)[-1] < 0.7 * harm(measured)[-1]
    assert held.steps[-1]["rewards_margin"] > 0


@pytest.mark.slow
def test_single_answers_are_learnt_without_harm(tiny_model, tmp_path):
    from tests.training.test_unpaired import kto, labelled

    def trained(kl: float) -> TrainedOnPairs:
        return TrainedOnPairs(kto(preserve=small(kl=kl)), tiny_model, tmp_path / f"model-{kl:g}", labelled(8))

    measured, held = trained(0.0), trained(30.0)
    assert harm(held)[-1] < 0.7 * harm(measured)[-1]
    assert held.steps[-1]["rewards_margin"] > 0


def test_the_divergence_on_the_tasks_own_prompts(tiny_model, tmp_path):
    chosen = recipe(epochs=1, eval_steps=3, preserve=small(kl=30.0, kl_on="task"))
    steps = Trained(tiny_model, tmp_path / "model", chosen, rows(), None).of("step")
    assert steps[0]["preserve_prompt_kl"] == pytest.approx(0, abs=1e-5)
    assert 1e-6 < steps[-1]["preserve_prompt_kl"] < 0.05
    assert "preserve_kl" not in steps[0]  # no rehearsal row was computed


@pytest.mark.slow
def test_a_model_without_shared_prefixes_is_preserved_alike(tiny_model, tmp_path, monkeypatch):
    from ftkit.training import loss_computer

    def trained() -> Trained:
        return Trained(tiny_model, tmp_path / "model", recipe(epochs=1, preserve=small()), rows(), None)

    shared = harm(trained())
    monkeypatch.setattr(loss_computer, "prefix_sharing_problem", lambda *args: "it is asked to be alone")
    assert harm(trained()) == pytest.approx(shared, rel=1e-2, abs=1e-5)


@pytest.mark.parametrize("adapter", ["lora", pytest.param("full", marks=pytest.mark.slow)])
def test_a_run_that_dies_goes_on_to_the_same_bits(adapter, tiny_model, tmp_path):
    chosen = recipe(
        ADAPTERS[adapter], epochs=2, save_steps=2, eval_steps=2, eval_metric="exact_match", eval_max_output_tokens=8,
        preserve=small(budget=50.0),
    )  # fmt: skip
    whole, broken = (Runner(tiny_model, tmp_path / name, chosen) for name in ("whole", "broken"))
    expected = whole.go()
    for step in (1, 5):
        with pytest.raises(KeyboardInterrupt):
            broken.go(until=lambda kind, data, step=step: kind == "step" and data["step"] == step)
    found = broken.go()
    timeless = {"training_seconds", "peak_memory_bytes", "preserve_seconds"}
    assert {k: v for k, v in found.items() if k not in timeless} == {
        k: v for k, v in expected.items() if k not in timeless
    }
    name = "model.safetensors" if adapter == "full" else "adapter_model.safetensors"
    assert (broken.job.output / name).read_bytes() == (whole.job.output / name).read_bytes()


def test_planted_harm_is_caught_and_stopped(tiny_model, tmp_path):
    chosen = recipe(epochs=10, learning_rate=0.5, warmup_ratio=0.0, eval_steps=2, preserve=small(budget=1e-3))
    with pytest.raises(TrainingError, match=r"no model is within the budget of harm: .*nats per token at step 2"):
        Trained(tiny_model, tmp_path / "model", chosen, rows(), None)
    assert not (tmp_path / "model").exists()


def test_the_result_is_the_last_model_within_the_budget(tiny_model, tmp_path):
    measured = Trained(
        tiny_model, tmp_path / "free", recipe(epochs=3, eval_steps=2, preserve=small(kl=0.0)), rows(), None
    )
    values = harm(measured)
    budget = (values[1] + max(values[2:])) / 2  # the first look is within it, a later one is not
    assert values[1] < budget
    chosen = recipe(epochs=3, eval_steps=2, preserve=small(kl=0.0, budget=budget, interpolate=False))
    done = Trained(tiny_model, tmp_path / "model", chosen, rows(), None)
    within = [2 * at for at, value in enumerate(harm(done)) if at and value <= budget]
    assert done.summary.get("best_step", done.summary["steps"]) == within[-1]
    assert done.summary["preserve_kl"] <= budget


def test_the_budget_raises_the_weight_and_stops_a_run_that_stays_above_it():
    budget = HarmBudget.of(ft.Preserve(budget=0.1, kl=1.0, interpolate=False))
    assert budget.add(0, 0.0)
    assert [budget.add(step, 0.2) for step in (5, 10)] == [False, False]
    assert budget.weight == 4
    assert not budget.stops
    assert budget.add(15, 0.05)
    for step in (20, 25, 30):
        budget.add(step, 0.3)
    assert budget.stops
    assert budget.describe() == (
        "0.3 nats per token at step 20, 0.3 at step 25, 0.3 at step 30 (preserve.budget is 0.1)"
    )
    falling = HarmBudget.of(ft.Preserve(budget=0.1, interpolate=False))
    for step, value in ((5, 0.9), (10, 0.5), (15, 0.3), (20, 0.2)):
        assert not falling.add(step, value)
        assert not falling.stops
    hopeless = HarmBudget.of(ft.Preserve(budget=0.1))
    hopeless.add(5, float("nan"))
    assert hopeless.stops


def test_with_interpolation_only_a_hopeless_run_is_stopped():
    budget = HarmBudget.of(ft.Preserve(budget=0.1, kl=1.0))
    assert all(budget.add(step, 1.9) for step in (5, 10, 15, 20))
    assert budget.weight == 16
    assert not budget.stops
    assert not budget.add(25, 2.1)
    assert budget.stops


def _update(folder: Path) -> dict[str, torch.Tensor]:
    """What a saved LoRA adds to each layer, without its constant factor."""
    saved = load_file(folder / "adapter_model.safetensors")
    return {name: saved[name.replace("lora_A", "lora_B")] @ a for name, a in saved.items() if "lora_A" in name}


def test_a_result_above_the_budget_keeps_the_largest_share_of_its_update(tiny_model, tmp_path):
    def trained(name: str, **changes: Any) -> Trained:
        chosen = recipe(epochs=3, eval_steps=4, load_best_model_at_end=True, preserve=small(kl=0.0, **changes))
        return Trained(tiny_model, tmp_path / name, chosen, rows(), None)

    free = trained("free")
    budget = harm(free)[-1] / 3
    done = trained("model", budget=budget)
    share = done.summary["preserve_interpolation"]
    assert free.summary["preserve_interpolation"] == 1.0
    assert harm(done)[-1] == pytest.approx(harm(free)[-1])  # the steps are the same
    assert "best_step" not in done.summary
    assert 0.8 * budget < done.summary["preserve_kl"] <= budget
    whole, part = _update(tmp_path / "free"), _update(tmp_path / "model")
    torch.testing.assert_close(part, {name: share * each for name, each in whole.items()})
    [message] = [message for message in done.warnings if "of the update" in message]
    assert f"keeps {share:.0%} of the update of step {done.summary['steps']}" in message


@pytest.mark.parametrize(
    "kind", ["full", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("qlora", "dora", "adalora"))]
)
def test_every_adapter_is_brought_within_the_budget(kind, tiny_model, tmp_path):
    slow = {"learning_rate": 5e-2, "epochs": 5} if kind == "adalora" else {"epochs": 2}

    def trained(name: str, **changes: Any) -> Trained:
        chosen = recipe(ADAPTERS[kind], eval_steps=6, preserve=small(kl=0.0, **changes), **slow)
        return Trained(tiny_model, tmp_path / name, chosen, rows(), None)

    budget = harm(trained("free"))[-1] / 2
    done = trained("model", budget=budget)
    assert 0.2 < done.summary["preserve_interpolation"] < 1
    assert 0.8 * budget < done.summary["preserve_kl"] <= budget


def test_the_summary_measures_the_validation_rows_of_the_result_that_was_moved_back(tiny_model, tmp_path):
    def trained(name: str, **changes: Any) -> Trained:
        chosen = recipe(epochs=3, eval_steps=6, preserve=small(kl=0.0, **changes))
        return Trained(tiny_model, tmp_path / name, chosen, rows(), rows())

    free = trained("free")
    done = trained("model", budget=free.summary["preserve_kl"] / 5)
    assert free.summary["validation_loss"] < done.summary["validation_loss"] < done.summary["validation_loss_before"]


def test_rows_with_answers_are_rehearsed_as_they_are(tiny_model, tmp_path):
    file = tmp_path / "mine.jsonl"
    turns = [
        [{"role": "user", "content": f"Say {n}"}, {"role": "assistant", "content": f"{n}, gladly"}] for n in range(12)
    ]
    file.write_text("\n".join(json.dumps({"messages": each}) for each in turns))
    preserve = small(rows=str(file), kl=0.0, share=1.0)
    done = Trained(tiny_model, tmp_path / "model", recipe(epochs=2, preserve=preserve), rows(), None)
    losses = [step["preserve_loss"] for step in done.of("step")]
    assert losses[-1] < losses[0] - 0.3


@pytest.mark.parametrize(
    ("preserve", "error", "says"),
    [
        (ft.Preserve(rows="/nowhere/mine.jsonl"), DataError, "there is no file /nowhere/mine.jsonl"),
        (ft.Preserve(held_out=5_000), RefusedError, "5,000 rows are held out, and general has 3"),
    ],
)
def test_rows_that_cannot_be_rehearsed_are_refused_before_the_start(preserve, error, says, tiny_model):
    with pytest.raises(error, match=says):
        check_recipe(recipe(preserve=preserve), tiny_model, rows())


def test_what_cannot_be_preserved_is_refused_by_name(tiny_model):
    with pytest.raises(RefusedError, match="preserve: RewardModel trains a model that generates no text"):
        check_recipe(reward(preserve=True), tiny_model, pairs())
    with pytest.raises(ft.ConfigError, match=r"load_best_model_at_end is off, but preserve\.budget"):
        recipe(preserve=ft.Preserve(), load_best_model_at_end=False)
    with pytest.raises(ft.ConfigError, match="nothing would be preserved"):
        ft.Preserve(kl=0, sft=0, budget=None)
    assert recipe(preserve=True).preserve == ft.Preserve()
    assert recipe(preserve=False).preserve is None


def test_no_rehearsal_prompt_is_a_question_of_the_probes():
    def words(text: str) -> list[str]:
        return re.findall(r"\w+", text.casefold())

    def trigrams(text: str) -> set[tuple[str, ...]]:
        found = words(text)
        return {tuple(found[at : at + 3]) for at in range(max(1, len(found) - 2))}

    folder = Path(str(files("ftkit.evaluation.probes")))
    lines = [
        json.loads(line)
        for name in ("general.jsonl", "plain_examples.jsonl")
        for line in (folder / name).read_text(encoding="utf-8").splitlines()
    ]
    questions = [(set(words(line["prompt"])), trigrams(line["prompt"])) for line in lines]
    prompts = [row.prompt[-1]["content"] for row in open_rehearsal(ft.Preserve())]
    assert len(prompts) == len(set(prompts)) > 300
    for prompt in prompts:
        its_words, its_trigrams = set(words(prompt)), trigrams(prompt)
        for others, phrases in questions:
            assert len(its_words & others) <= 0.7 * len(its_words | others), prompt
            assert len(its_trigrams & phrases) <= 0.5 * len(its_trigrams | phrases), prompt
