"""MFU: the count of operations against torch's own, and what events say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import ftkit as ft
from ftkit.modeling.attention import TREE_ATTENTION
from ftkit.modeling.model_shape import model_shape
from ftkit.modeling.packed_forward import PackedForward
from ftkit.modeling.prefix_tree import pack_sequences
from ftkit.modeling.tokenized_example import TokenizedConversation
from ftkit.training.adapters.attach import adapt
from ftkit.training.estimation.machine_speed import dense_rate
from ftkit.training.job import Job, train
from ftkit.training.mfu import FlopsUtilisation, model_operations
from tests.tiny import save_tiny, tiny_causal, tiny_config


def trained(model: str, folder: Path, **changes: Any) -> list[tuple[str, dict[str, Any]]]:
    task = ft.Task("Count.", input="{note}")
    rows = ft.Dataset.from_rows([{"note": f"{n} sheep", "gold": str(n)} for n in range(8)], task, target="gold")
    recipe = ft.SFT(epochs=1, batch_size=4, adapter=ft.LoRA(rank=4), precision="fp32", **changes)
    events: list[tuple[str, dict[str, Any]]] = []
    train(Job(recipe, rows, None, model, folder), lambda kind, data: events.append((kind, data)))
    return events


@pytest.mark.parametrize("family", ["llama", "gpt2", "phi3"])
def test_whole_models_compute_six_operations_a_weight_and_frozen_ones_four(family: str) -> None:
    model = tiny_causal(family, attention=TREE_ATTENTION)
    adapted = adapt(model, ft.Full(), total_steps=9, seed=0)
    one = pack_sequences([TokenizedConversation(np.arange(3, 83, dtype=np.int32), np.arange(80) >= 60)])
    forward = PackedForward(adapted.base_model, torch.device("cpu"), shared=True)
    forward.loss(one)  # the first pass measures the form of the output layer's values
    with FlopCounterMode(display=False) as counter:
        forward.loss(one)[0].backward()
    shape = model_shape(tiny_config(family).to_dict())
    products = sum(count for name, count in counter.get_flop_counts()["Global"].items() if "mm" in str(name))
    assert model_operations(shape, ft.SFT(adapter=ft.Full()), 80, 20) == products
    assert model_operations(shape, ft.SFT(), 80, 20) * 6 == products * 4


def test_layers_below_the_lowest_adapter_compute_two_operations_a_weight() -> None:
    shape = model_shape(tiny_config("llama").to_dict())
    whole, upper = (
        model_operations(shape, ft.SFT(adapter=ft.LoRA(layers_to_transform=numbers)), 80, 0) for numbers in (None, 1)
    )
    assert upper * 4 == whole * 3  # of two layers one is passed backward


def test_every_step_says_its_share_of_the_peak(tiny_model: str, tmp_path: Path) -> None:
    events = trained(tiny_model, tmp_path / "m")
    said = next(data for _, data in events if data.get("message") == "training")
    assert said["peak_flops"] > 1e8
    assert said["peak_flops_basis"] == ("data sheet" if torch.cuda.is_available() else "measured")
    steps = [data for kind, data in events if kind == "step"]
    assert all(0 < step["mfu"] < 1 for step in steps)


def test_a_peak_that_was_measured_too_low_gives_no_share() -> None:
    chosen = ft.SFT(precision="fp32")
    used = FlopsUtilisation(chosen, tiny_config("llama"), torch.device("cpu"), scores=False)
    done = model_operations(used.shape, chosen, 100, 20)
    used.peak = float(done)
    assert used.of_step(100, 20, 1.0) == 1.0
    assert used.of_step(100, 20, 0.5) is None


def test_a_model_whose_layers_are_not_known_trains_without(tokenizer: Any, tmp_path: Path) -> None:
    events = trained(save_tiny(tmp_path / "gemma3", "gemma3", tokenizer), tmp_path / "m")
    assert [data["mfu"] for kind, data in events if kind == "step"] == [None, None]


@pytest.mark.skipif(torch.cuda.is_available(), reason="the peak of a known GPU is its data sheet's")
def test_the_peak_is_the_best_that_was_ever_measured(ftkit_home: Path) -> None:
    file = ftkit_home / "speed.json"
    first = dense_rate("fp32")
    known = json.loads(file.read_text())
    [key] = known
    file.write_text(json.dumps({key: {"dense": 1e30}, "another machine": {"dense": 1.0}}))
    assert dense_rate("fp32") == 1e30
    file.write_text(json.dumps({key: {"dense": 1.0}}))
    assert dense_rate("fp32") > max(1.0, first / 100)
    file.write_text("[]")
    assert dense_rate("fp32") > 1.0
