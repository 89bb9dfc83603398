"""On a GPU, ``max_batch_tokens="auto"`` is what its memory holds."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import ftkit as ft
from ftkit.catalog import load_catalog
from ftkit.training.estimation import plan_target
from ftkit.training.estimation.machine_speed import measured_speed


def data(words: int) -> ft.Dataset:
    rows = [{"note": f"{number} " + "patient reports pain " * (words // 3), "answer": "yes"} for number in range(64)]
    return ft.Dataset.from_rows(rows, ft.Task("Is it urgent?", input="{note}"), target="answer")


@pytest.fixture(scope="module")
def large_model(tiny_model: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The config of a model with 8 billion weights, without the weights."""
    folder = tmp_path_factory.mktemp("large") / "model"
    shutil.copytree(tiny_model, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    config = json.loads((folder / "config.json").read_text())
    config |= {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32}
    config |= {"num_key_value_heads": 8, "head_dim": 128, "max_position_embeddings": 8192}
    (folder / "config.json").write_text(json.dumps(config))
    return str(folder)


def planned(model: str, adapter: ft.Adapter, device: str, words: int = 600, **recipe: Any) -> tuple[int, bool]:
    plan = ft.plan(ft.SFT(adapter=adapter, batch_size=32, **recipe), data(words), f"local:{model}", device=device)
    [choice] = plan.entries
    assert choice.estimate is not None
    return choice.estimate.recipe["max_batch_tokens"], choice.fits


def test_a_smaller_gpu_computes_fewer_tokens_in_a_pass(large_model: str) -> None:
    on_h200, fits = planned(large_model, ft.QLoRA(), "h200-141gb")
    assert fits
    assert on_h200 >= 8192
    on_4090, fits = planned(large_model, ft.QLoRA(), "rtx4090-24gb")
    assert fits
    assert on_4090 < on_h200


def test_a_number_that_the_user_wrote_stays(large_model: str) -> None:
    assert planned(large_model, ft.QLoRA(), "rtx4090-24gb", max_batch_tokens=16384) == (16384, False)


def test_a_small_model_takes_the_largest(tiny_model: str) -> None:
    assert planned(tiny_model, ft.LoRA(), "rtx4090-24gb", words=60)[0] == 16384


def test_a_gpu_of_the_catalogue_has_the_speed_of_its_data_sheet(tmp_path: Path) -> None:
    known = plan_target._cuda_target("NVIDIA H200", 10**11, True, measured_speed)
    assert known.speed("bf16", ()).basis == "data sheet"
    assert load_catalog().gpu_rates("A GPU of tomorrow") is None
    assert plan_target._cuda_target("A GPU of tomorrow", 10**11, True, measured_speed).speed is measured_speed
