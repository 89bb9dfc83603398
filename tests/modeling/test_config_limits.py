"""Sizes that no model has are refused before anything is built from them."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest

import ftkit as ft
from ftkit.errors import ModelError
from ftkit.modeling.adapter_patterns import check_patterns
from ftkit.modeling.config_limits import check_sizes
from ftkit.modeling.peft_adapter import adapter_config

LLAMA = {
    "model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4, "vocab_size": 100,
    "num_hidden_layers": 2, "max_position_embeddings": 131072, "architectures": ["LlamaForCausalLM"],
}  # fmt: skip


@pytest.mark.parametrize("wrong", [
    {"num_hidden_layers": 10**7}, {"hidden_size": 10**12}, {"vocab_size": 10**15}, {"num_attention_heads": 10**9},
    {"text_config": {"num_hidden_layers": 10**7}}, {"layer_types": ["full_attention"] * 20_000},
    {"num_local_experts": 10**8}, {"n_layer": 10**7, "model_type": "gpt2"}, {"num_labels": 10**9}, {"n_group": 10**8},
])  # fmt: skip
def test_a_size_that_no_model_has(tmp_path: Path, wrong: dict[str, object]) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA | wrong))
    began = time.monotonic()
    with pytest.raises(ModelError, match=r"config\.json: .*more than any model has"):
        ft.Model(f"local:{tmp_path}").predict(text="x")
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("wrong", [{"r": 10**9}, {"rank_pattern": {"q_proj": 10**9}}])
def test_a_rank_that_no_adapter_has(tmp_path: Path, wrong: dict[str, object]) -> None:
    settings = {"peft_type": "LORA", "r": 8, "base_model_name_or_path": "smollm2-135m"}
    (tmp_path / "adapter_config.json").write_text(json.dumps(settings | wrong))
    with pytest.raises(ModelError, match=r"adapter_config\.json: .*more than any model has"):
        ft.Model(f"local:{tmp_path}").predict(text="x")


@pytest.mark.parametrize("wrong", [
    {"target_modules": "(.*)*x"}, {"exclude_modules": r"(\w+\.?)+!"}, {"rank_pattern": {"(?:q|qq)+$": 4}},
    {"alpha_pattern": {"(a+)+": 4}}, {"modules_to_save": ["(.+)+"]}, {"layers_pattern": ["((a)*)*"]},
    {"target_modules": "(?:q|qq)+$"}, {"target_modules": "("}, {"target_modules": "a" * 20_000},
    {"rank_pattern": {f"layers.{n}": 4 for n in range(6_000)}},
])  # fmt: skip
def test_patterns_of_an_adapter_that_take_time_without_bounds(tmp_path: Path, wrong: dict[str, object]) -> None:
    settings = {"peft_type": "LORA", "r": 8, "base_model_name_or_path": "smollm2-135m"}
    (tmp_path / "adapter_config.json").write_text(json.dumps(settings | wrong))
    began = time.thread_time()
    with pytest.raises(ModelError, match=r"adapter_config\.json: .*pattern"):
        adapter_config(tmp_path)
    assert time.thread_time() - began < 5


def test_patterns_of_known_adapters_are_taken() -> None:
    layers = r"(?:\bmodel\.layers\.[\d]{1,}\.(?:self_attn|attention|mlp)\.(?:(?:q_proj|k_proj|v_proj|down_proj)))"
    unsloth = rf"(?:.*?(?:language|text).*?(?:self_attn|attention|mlp).*?(?:q_proj|k_proj|down_proj).*?)|{layers}"
    for pattern in (r".*\.(q_proj|v_proj)$", r"model\.layers\.(1[0-9]|2\d)\..*_proj", "all-linear", layers, unsloth):
        check_patterns({"target_modules": pattern, "exclude_modules": pattern}, "adapter_config.json")
    check_patterns({"target_modules": ["q_proj"], "rank_pattern": {r"^model\.layers\.0\.": 4}}, "adapter_config.json")


def test_a_config_too_large_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA | {"x": "y" * 17_000_000}))
    with pytest.raises(ModelError, match="a config has at most"):
        ft.Model(f"local:{tmp_path}").predict(text="x")


def test_sizes_of_the_largest_models_are_taken() -> None:
    check_sizes(LLAMA, "config.json")
    huge = {"num_hidden_layers": 126, "hidden_size": 16384, "vocab_size": 262144, "num_experts": 2048,
            "max_position_embeddings": 10_485_760, "n_routed_experts": 384, "intermediate_size": 53248}  # fmt: skip
    check_sizes(huge, "config.json")


NO_OBJECTS = ({"quantization_config": "fp8"}, {"text_config": 3}, {"text_config": {"rope_config": []}})


@pytest.mark.parametrize("wrong", NO_OBJECTS)
def test_a_part_of_a_config_that_is_no_object(tiny_model: str, tmp_path: Path, wrong: dict[str, object]) -> None:
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | wrong))
    rows = ft.Dataset.from_rows([{"prompt": f"{number}", "completion": "a"} for number in range(10)])
    assert "and not an object" in str(ft.plan(ft.SFT(), rows, f"local:{folder}"))
    with pytest.raises(ModelError, match=r"config\.json.*and not an object"):
        ft.Model(f"local:{folder}").predict(text="x")
