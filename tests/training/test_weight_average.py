"""The average of the trained weights: what it is, what is measured and kept, and that it survives a kill."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import ftkit as ft
from ftkit.errors import RefusedError
from ftkit.training.weight_average import WeightAverage
from tests.training.test_checkpoints import WATCHED, Runner
from tests.training.test_training import ADAPTERS, Trained, recipe, rows


def tensors(done: Trained) -> dict[str, torch.Tensor]:
    return load_file(done.folder / "adapter_model.safetensors")


def test_the_average_is_that_of_torch_once_it_is_warm():
    weights = {"w": torch.nn.Parameter(torch.zeros(5))}
    average, reference = WeightAverage(weights, 0.9), torch.optim.swa_utils.get_ema_avg_fn(0.9)
    history: list[torch.Tensor] = []
    for update in range(1, 200):
        with torch.no_grad():
            weights["w"] += torch.randn(5)
        average.update(update)
        history.append(average.averages["w"].clone())
        if update > 81:  # (1 + t) / (10 + t) is above 0.9
            expected = reference(history[-2], weights["w"].detach(), update)
            torch.testing.assert_close(history[-1], expected)


def test_inside_the_block_the_weights_are_the_average_and_afterwards_they_are_themselves():
    weight = torch.nn.Parameter(torch.zeros(2))
    average = WeightAverage({"w": weight}, 0.5)
    with torch.no_grad():
        weight += 4.0
    average.update(1)
    share = 1 - 2 / 11
    with average.applied():
        torch.testing.assert_close(weight.detach(), torch.full((2,), 4.0 * share))
    torch.testing.assert_close(weight.detach(), torch.full((2,), 4.0))
    torch.testing.assert_close(average.averages["w"], torch.full((2,), 4.0 * share))


def test_the_same_steps_are_made_and_the_result_is_their_average(tiny_model, tmp_path):
    plain = Trained(tiny_model, tmp_path / "plain", recipe(), rows(), None)
    averaged = Trained(tiny_model, tmp_path / "averaged", recipe(ema_decay=0.5), rows(), None)
    assert averaged.losses == plain.losses
    moved = [
        float((tensors(plain)[name].float() - tensor.float()).norm()) for name, tensor in tensors(averaged).items()
    ]
    assert min(moved) > 0

    def size(done: Trained) -> float:
        return sum(float(t.norm()) for name, t in tensors(done).items() if "lora_B" in name)

    assert size(averaged) < size(plain)  # B starts at 0, and an average of a growing weight is behind it


def test_what_is_measured_is_what_is_returned(tiny_model, tmp_path):
    chosen = recipe(ema_decay=0.8, eval_steps=9, epochs=3)
    done = Trained(tiny_model, tmp_path / "model", chosen, rows(), rows(4, first=40))
    measured = done.of("validation")[-1]["loss"]
    again = Trained(
        str(done.folder), tmp_path / "again", recipe(epochs=1, learning_rate=1e-4), rows(), rows(4, first=40)
    )
    assert again.of("validation")[0]["loss"] == pytest.approx(measured, rel=1e-4)


def test_a_run_that_dies_goes_on_with_its_average(tiny_model, tmp_path):
    chosen = recipe(ema_decay=0.9, **WATCHED)
    whole, broken = (Runner(tiny_model, tmp_path / name, chosen) for name in ("whole", "broken"))
    whole.go()
    for step in (3, 5, 8):
        with pytest.raises(KeyboardInterrupt):
            broken.go(until=lambda kind, data, step=step: kind == "step" and data["step"] == step)
    broken.go()
    assert broken.weights == whole.weights


def test_adapters_that_change_their_shape_have_no_average(tiny_model, tmp_path):
    with pytest.raises(RefusedError, match="adalora changes the shape of its update") as refused:
        Trained(tiny_model, tmp_path / "model", recipe(ADAPTERS["adalora"], ema_decay=0.9), rows(), None)
    assert refused.value.fields == ("ema_decay",)


@pytest.mark.parametrize("value", [0.0, 1.0, -0.5, float("nan")])
def test_a_decay_is_between_0_and_1(value: Any):
    with pytest.raises(ft.ConfigError, match="ema_decay"):
        ft.SFT(ema_decay=value)
