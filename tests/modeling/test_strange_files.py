"""Model folders with pipes, devices, integers, no numbers or torn settings in place of what should be there."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import ftkit as ft
from ftkit.errors import ModelError
from ftkit.modeling.load_for_inference import load_for_answers
from ftkit.modeling.model_source import find_source
from tests.tiny import save_adapter

CPU = torch.device("cpu")
WEIGHTS = "model.safetensors"
FILES = (WEIGHTS, "config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json", "merges.txt")


@pytest.fixture
def copy(tiny_model: str, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_model, tmp_path / "copy"))


def load(folder: Path) -> Any:
    return load_for_answers(find_source(str(folder)), precision="fp32", device=CPU)


@pytest.mark.parametrize("name", [*FILES, "chat_template.jinja", "model.safetensors.index.json"])
@pytest.mark.parametrize("kind", ["a pipe", "a device", "a folder", "a loop"])
def test_what_is_no_file_is_not_waited_for(copy: Path, name: str, kind: str) -> None:
    (copy / name).unlink(missing_ok=True)
    if kind == "a pipe":
        os.mkfifo(copy / name)
    elif kind == "a folder":
        (copy / name).mkdir()
    else:
        (copy / name).symlink_to("/dev/zero" if kind == "a device" else name)
    with pytest.raises(ModelError, match=f"{name} (is {kind}, and not a file|cannot be read)"):
        load(copy)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("chat_template.jinja", 2_000_000),
        ("tokenizer_config.json", 600_000_000),
        ("additional_chat_templates/rag.jinja", 2_000_000),
    ],
)
def test_a_text_that_is_far_too_large_is_not_read(copy: Path, name: str, size: int) -> None:
    (copy / name).parent.mkdir(exist_ok=True)
    with (copy / name).open("wb") as file:
        file.truncate(size)
    with pytest.raises(ModelError, match=rf"{name} has {size:,} bytes; such a file of a model has at most"):
        load(copy)


def test_a_pipe_in_the_base_of_an_adapter_is_not_waited_for(copy: Path, tmp_path: Path) -> None:
    adapter = save_adapter(tmp_path / "adapter", str(copy))
    (copy / "tokenizer_config.json").unlink()
    os.mkfifo(copy / "tokenizer_config.json")
    with pytest.raises(ModelError, match=r"tokenizer_config.json is a pipe"):
        load(Path(adapter))


@pytest.mark.parametrize("kind", ["compressed", "shared", "torn"])
def test_pickles_that_expand_are_not_read(copy: Path, kind: str) -> None:
    (copy / WEIGHTS).unlink()
    file = copy / "pytorch_model.bin"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED if kind == "compressed" else zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data/0", bytes(2**22))
        for number in range(9 * (kind == "shared")):  # each member is the same bytes of the file
            archive.filelist.append(archive.filelist[0])
            archive.NameToInfo[f"archive/data/{number}"] = archive.filelist[0]
    if kind == "torn":
        file.write_bytes(file.read_bytes().replace(b"PK\x01\x02", b"PK\x07\x02"))
    with pytest.raises(ModelError, match=r"pytorch_model\.bin (is compressed|has .* and expands|is a damaged archive)"):
        load(copy)


def test_weights_of_integers_are_refused(copy: Path) -> None:
    tensors = {name: tensor.to(torch.int32) for name, tensor in load_file(copy / WEIGHTS).items()}
    save_file(tensors, copy / WEIGHTS, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"weight is made of integers, and config.json names no quantization"):
        load(copy)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_model_that_computes_no_numbers_says_so(copy: Path, value: float) -> None:
    tensors = load_file(copy / WEIGHTS)
    tensors["model.norm.weight"][0] = value
    save_file(tensors, copy / WEIGHTS, metadata={"format": "pt"})
    short = ft.Sampling(max_output_tokens=4)
    model = ft.Model(f"local:{copy}", ft.Task("Say.", input="{text}"), sampling=short)
    try:
        with pytest.raises(ModelError, match="the model computes no numbers"):
            model.predict(text="x")
        choice = ft.Task(output=ft.ChoiceOutput(choices=("a", "b")), input="{text}")
        constrained = ft.Model(f"local:{copy}", choice, sampling=ft.Sampling(max_output_tokens=4, constrained=True))
        with pytest.raises(ModelError, match="the model computes no numbers"):
            constrained.predict(text="x")
    finally:
        model.close()


@pytest.mark.parametrize("content", ['{"eos_token_id": [2', "", "[1]", "null"])
def test_a_torn_generation_config_is_not_left_out_in_silence(copy: Path, content: str) -> None:
    (copy / "generation_config.json").write_text(content)
    with pytest.raises(ModelError, match=r"generation_config.json (cannot be read|contains no JSON object)"):
        load(copy)


@pytest.mark.parametrize("value", ["x", {"a": 1}, ["x"]])
def test_stops_that_are_no_tokens_are_named(copy: Path, value: Any) -> None:
    (copy / "generation_config.json").write_text(json.dumps({"eos_token_id": value}))
    with pytest.raises(ModelError, match="eos_token_id"):
        load(copy)


def test_a_tokenizer_that_encodes_nothing_is_refused(copy: Path) -> None:
    tokenizer = json.loads((copy / "tokenizer.json").read_text())
    tokenizer["model"] |= {"vocab": {}, "merges": []}
    (copy / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(ModelError, match="encodes 'any text' as nothing: its vocabulary is damaged"):
        load(copy)


def test_a_tokenizer_whose_settings_have_other_types_is_one_model_error(copy: Path) -> None:
    settings = json.loads((copy / "tokenizer_config.json").read_text())
    (copy / "tokenizer_config.json").write_text(json.dumps(settings | {"model_max_length": "x"}))
    with pytest.raises(ModelError, match="tokenizer"):
        load(copy)


@pytest.mark.parametrize("eos", [-1, "2", 2.0, True, [2, -1], list(range(1_000))])
def test_ends_of_answers_are_the_ids_of_tokens(copy: Path, eos: Any) -> None:
    file = copy / "generation_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "eos_token_id": eos}))
    with pytest.raises(ModelError, match="eos_token_id of the generation_config"):
        load(copy)
