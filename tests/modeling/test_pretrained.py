"""Finding and loading models: every way of not being one is said in a sentence that names it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from ftkit.errors import ModelError
from ftkit.modeling.embedded_model import EMBEDDED
from ftkit.modeling.load_for_inference import load_for_answers
from ftkit.modeling.model_source import Quantization, find_source
from ftkit.modeling.pretrained import load_pretrained

CPU = torch.device("cpu")


@pytest.fixture
def copy(tiny_model: str, tmp_path: Path) -> Callable[[], Path]:
    return lambda: Path(shutil.copytree(tiny_model, tmp_path / "copy"))


def load(name: str) -> object:
    return load_for_answers(find_source(name), precision="fp32", device=CPU)


def test_a_name_is_the_embedded_model_a_folder_or_a_hub_id(tiny_model, ftkit_home):
    assert find_source(EMBEDDED).base == str(ftkit_home / "models" / "smollm2-135m-instruct")
    assert find_source(tiny_model).base == tiny_model
    assert find_source("Qwen/Qwen3-0.6B").base == "Qwen/Qwen3-0.6B"
    assert find_source("gpt2").adapter is None


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere", "~/nowhere", "models/of/mine"])
def test_a_path_that_is_not_there_is_no_hub_id(name):
    with pytest.raises(ModelError, match="no folder"):
        find_source(name)


def test_a_folder_without_a_model_says_what_it_lacks(tmp_path):
    with pytest.raises(ModelError, match=r"neither config\.json nor adapter_config\.json"):
        find_source(str(tmp_path))


def test_an_adapter_of_another_tool_is_found_with_its_base(tmp_path):
    settings = tmp_path / "adapter_config.json"
    settings.write_text(json.dumps({"base_model_name_or_path": "owner/base"}))
    assert find_source(str(tmp_path)).base == "owner/base"
    assert find_source(str(tmp_path)).adapter == tmp_path
    record = {"base_name": "other/base", "quantisation": {"quant_type": "nf4", "double_quant": False}}
    (tmp_path / "ftkit.json").write_text(json.dumps(record))
    assert find_source(str(tmp_path)).base == "other/base"
    assert find_source(str(tmp_path)).quantisation == Quantization("nf4", double_quant=False)


@pytest.mark.parametrize("text", ["{}", '{"base_model_name_or_path": null}', "{", "[]"])
def test_an_adapter_without_a_base_is_refused(tmp_path, text):
    (tmp_path / "adapter_config.json").write_text(text)
    with pytest.raises(ModelError, match=r"adapter_config\.json"):
        find_source(str(tmp_path))


def test_a_hub_model_that_is_not_here_says_what_can_be_given():
    with pytest.raises(ModelError, match=r"cannot load the model 'nobody/nothing'.*smollm2-135m"):
        load("nobody/nothing")


@pytest.mark.parametrize("damage", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_damaged_file_is_no_bare_traceback(copy, damage):
    folder = copy()
    file = folder / damage
    file.write_bytes(file.read_bytes()[: 1000 if damage == "model.safetensors" else 20])
    with pytest.raises(ModelError, match=rf"cannot load the model '{folder}'|{folder}/config\.json cannot be read"):
        load(str(folder))


def test_missing_weights_are_no_bare_traceback(copy):
    folder = copy()
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="cannot load the model"):
        load(str(folder))


def test_an_encoder_generates_no_text(tmp_path, tokenizer):
    from transformers import T5Config

    T5Config(vocab_size=97, d_model=16, d_ff=16, num_layers=1, num_heads=2).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="cannot load the model"):
        load(str(tmp_path))


def test_an_adapter_that_does_not_fit_its_base_is_named(tmp_path, tiny_model):
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    settings = {"peft_type": "LORA", "base_model_name_or_path": tiny_model, "target_modules": ["nothing"], "r": 4}
    (adapter / "adapter_config.json").write_text(json.dumps(settings))
    shutil.copy(Path(tiny_model) / "tokenizer.json", adapter)
    shutil.copy(Path(tiny_model) / "tokenizer_config.json", adapter)
    with pytest.raises(ModelError, match="cannot load the adapter"):
        load(str(adapter))


def test_what_the_model_is_made_for_is_known(tiny_model):
    loaded = load_pretrained(find_source(tiny_model), precision="bf16", device=CPU)
    assert loaded.max_length == 512
    assert loaded.precision == "bf16"
    assert loaded.model.dtype == torch.bfloat16
    assert loaded.chat_template.stop_ids == (2,)
