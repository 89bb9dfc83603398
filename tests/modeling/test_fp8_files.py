"""Files with FP8 weights (DeepSeek's form: blocks of 128 by 128 with a scale) are expanded while they are loaded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import ftkit as ft
from ftkit.modeling.load_for_inference import load_for_answers
from ftkit.modeling.model_source import find_source
from ftkit.training.job import Job, train

LARGEST = 448.0
"""Largest number of float8_e4m3fn."""


@pytest.fixture
def fp8(tiny_model: str, tmp_path: Path) -> tuple[Path, dict[str, torch.Tensor]]:
    """A copy of the tiny model with FP8 weights, and what they stand for."""
    folder = shutil.copytree(tiny_model, tmp_path / "fp8")
    written: dict[str, torch.Tensor] = {}
    meant: dict[str, torch.Tensor] = {}
    for name, weight in load_file(folder / "model.safetensors").items():
        if not name.endswith("proj.weight"):
            written[name] = meant[name] = weight
            continue
        rows, columns = (-(-size // 128) for size in weight.shape)
        scales = torch.ones(rows, columns)
        scale = weight.abs().max() / LARGEST
        written[name] = (weight / scale).to(torch.float8_e4m3fn)
        written[f"{name}_scale_inv"] = scales * scale
        meant[name] = written[name].float() * scale
    save_file(written, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "fp8", "weight_block_size": [128, 128], "fmt": "e4m3"}
    (folder / "config.json").write_text(json.dumps(config))
    return folder, meant


def test_weights_are_what_the_file_means(fp8: tuple[Path, dict[str, torch.Tensor]]) -> None:
    folder, meant = fp8
    loaded = load_for_answers(find_source(str(folder)), precision="fp32", device=torch.device("cpu"))
    weights = dict(loaded.model.named_parameters())
    for name, weight in meant.items():
        torch.testing.assert_close(weights[name].detach(), weight, rtol=1e-6, atol=0)


@pytest.mark.slow
def test_an_adapter_trains_and_is_exported(fp8: tuple[Path, dict[str, torch.Tensor]], tmp_path: Path) -> None:
    folder, _ = fp8
    rows = ft.Dataset.from_rows([{"prompt": f"question {number}", "completion": "yes"} for number in range(10)])
    recipe = ft.SFT(adapter=ft.LoRA(rank=4), epochs=4, batch_size=5, learning_rate=1e-2)
    losses: list[float] = []

    def note(kind: str, data: dict[str, object]) -> None:
        if kind == "step":
            losses.append(float(str(data["loss"])))

    train(Job(recipe, rows, None, str(folder), tmp_path / "model"), note)
    assert losses[-1] < losses[0]
    model = ft.Model(f"local:{tmp_path / 'model'}", ft.Task(), sampling=ft.Sampling(max_output_tokens=4))
    ft.export(model, tmp_path / "merged", form="merged", dtype="fp32", replay=rows)
    weights = load_file(next((tmp_path / "merged").glob("*.safetensors")))
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32}
    assert "quantization_config" not in json.loads((tmp_path / "merged" / "config.json").read_text())
