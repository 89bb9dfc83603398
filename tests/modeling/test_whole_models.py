"""Models that are not whole, or not friendly: one ModelError each, that says what is wrong."""

from __future__ import annotations

import json
import pickle
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import ftkit as ft
from ftkit.errors import ModelError
from ftkit.inference.multi_lora import MultiLoRAModel
from ftkit.modeling.load_for_inference import load_for_answers
from ftkit.modeling.model_source import find_source
from ftkit.training.job import Job, train
from tests.tiny import save_adapter, save_tiny

CPU = torch.device("cpu")
WEIGHTS, ADAPTER = "model.safetensors", "adapter_model.safetensors"
UP = "model.layers.1.mlp.up_proj.weight"


@pytest.fixture
def copy(tiny_model: str, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_model, tmp_path / "copy"))


@pytest.fixture(scope="session")
def saved_adapter(tiny_model: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter of another tool. Shared: copy it before changing it."""
    return Path(save_adapter(tmp_path_factory.mktemp("adapters") / "adapter", tiny_model))


@pytest.fixture
def adapter(saved_adapter: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved_adapter, tmp_path / "adapter"))


@pytest.fixture(scope="session")
def saved_artefact(tiny_model: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter that ftkit trained. Shared: copy it before changing it."""
    task = ft.Task("Say it.", input="{q}")
    data = ft.Dataset.from_rows([{"q": f"{n}", "a": f"{n + 1}"} for n in range(4)], task, target="a")
    folder = tmp_path_factory.mktemp("artefacts") / "tuned"
    train(Job(ft.SFT(epochs=1, precision="fp32"), data, None, tiny_model, folder), lambda kind, data: None)
    return folder


@pytest.fixture
def artefact(saved_artefact: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved_artefact, tmp_path / "artefact"))


def load(folder: Path) -> Any:
    return load_for_answers(find_source(str(folder)), precision="fp32", device=CPU)


def change(file: Path, **entries: Any) -> None:
    settings = json.loads(file.read_text())
    file.write_text(json.dumps({key: value for key, value in (settings | entries).items() if value is not ...}))


def tensors(file: Path, edit: Callable[[dict[str, torch.Tensor]], object]) -> None:
    held = load_file(file)
    edit(held)
    save_file(held, file, metadata={"format": "pt"})


def problem_of(folder: Path) -> str | None:
    """What is said of a model; None if it loads. Anything but a ModelError fails the test."""
    try:
        load(folder)
    except ModelError as error:
        return str(error)
    return None


def flip(file: Path, text: bytes, other: bytes) -> None:
    """Change a byte or more in a file, without changing its length."""
    content = file.read_bytes()
    assert text in content
    file.write_bytes(content.replace(text, other, 1))


def test_a_missing_tensor_is_named(copy: Path) -> None:
    tensors(copy / WEIGHTS, lambda held: held.pop(UP))
    with pytest.raises(
        ModelError, match=rf"copy' is not whole. It lacks 1 tensor that the config calls for: {UP}\. Get"
    ):
        load(copy)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_hidden_layers": 3}, r"lacks 9 tensors that the config calls for: model\.layers\.2\..*, …"),
        ({"num_hidden_layers": 1}, r"has 9 tensors that the config has no place for: model\.layers\.1\."),
        ({"intermediate_size": 96}, r"has 6 tensors of another shape .*down_proj\.weight \(\[64, 128\] instead of"),
        ({"tie_word_embeddings": False}, r"lacks 1 tensor .*: lm_head\.weight"),
        ({"hidden_size": 65_536}, r"describes a model of [\d,]+ parameters, and the weights beside it are [\d,]+"),
    ],
)
def test_weights_that_do_not_fit_their_config_are_named(copy: Path, changes: dict[str, Any], message: str) -> None:
    change(copy / "config.json", **changes)
    with pytest.raises(ModelError, match=message):
        load(copy)


def test_a_family_whose_shape_is_not_known_is_measured_without_weights(tmp_path: Path, tokenizer: Any) -> None:
    folder = Path(save_tiny(tmp_path / "gemma3", "gemma3", tokenizer))
    assert load(folder).max_length == 512
    change(folder / "config.json", hidden_size=2**20, intermediate_size=2**20)
    with pytest.raises(ModelError, match=r"describes a model of [\d,]+ parameters, and the weights beside it are"):
        load(folder)


def test_a_shard_that_is_missing_is_named(copy: Path) -> None:
    held = load_file(copy / WEIGHTS)
    parts = [dict(list(held.items())[::2]), dict(list(held.items())[1::2])]
    names = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    for name, part in zip(names, parts, strict=True):
        save_file(part, copy / name, metadata={"format": "pt"})
    index = {key: name for name, part in zip(names, parts, strict=True) for key in part}
    (copy / WEIGHTS).unlink()
    (copy / f"{WEIGHTS}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
    assert load(copy).max_length == 512
    (copy / names[1]).unlink()
    with pytest.raises(ModelError, match="00002-of-00002"):
        load(copy)


def test_a_reward_model_begins_with_a_new_score_layer_and_nothing_else(copy: Path, tiny_model: str) -> None:
    from ftkit.modeling.pretrained import load_pretrained

    loaded = load_pretrained(find_source(tiny_model), precision="fp32", device=CPU, scores=True)
    assert loaded.model.score.weight.shape == (1, 64)
    tensors(copy / WEIGHTS, lambda held: held.pop(UP))
    with pytest.raises(ModelError, match=f"lacks 1 tensor .* {UP}"):
        load_pretrained(find_source(str(copy)), precision="fp32", device=CPU, scores=True)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda held: held.clear(), "has no tensors, so it is no adapter"),
        (lambda held: held.pop(sorted(held)[0]), r"lacks 1 tensor .*lora_A"),
        (lambda held: held.update({"base_model.model.model.layers.9.mlp.up_proj.lora_A.weight": torch.ones(4, 64)}),
         r"has 1 tensor .*no place for.*layers\.9"),
        (lambda held: held.update({key: value[:, :-1].contiguous() for key, value in list(held.items())[:1]}),
         "cannot load the adapter"),
    ],
    ids=["none", "missing", "unexpected", "shape"],
)  # fmt: skip
def test_an_adapter_that_is_not_whole_is_refused_alone_and_beside_others(
    adapter: Path, saved_adapter: Path, tiny_model: str, edit: Callable[[dict[str, torch.Tensor]], object], message: str
) -> None:
    tensors(adapter / ADAPTER, edit)
    with pytest.raises(ModelError, match=message):
        load(adapter)
    base = MultiLoRAModel.load(find_source(tiny_model), quantised_as=find_source(str(saved_adapter)))
    with pytest.raises(ModelError, match=message):
        base.add_adapter("broken", adapter)
    base.add_adapter("whole", saved_adapter)  # the base is as it was
    with pytest.raises(ModelError, match=message):
        base.add_adapter("broken", adapter)
    inputs = {"input_ids": torch.tensor([[5, 6]] * 2), "use_cache": False}
    both = base.logits(["whole", None], torch.tensor([1, 1]), **inputs)
    assert not torch.equal(both[0], both[1])
    plain = MultiLoRAModel.load(find_source(tiny_model), quantised_as=find_source(str(saved_adapter)))
    assert torch.equal(plain.logits([None, None], torch.tensor([1, 1]), **inputs)[1], both[1])


def test_a_flipped_byte_in_a_header_is_noticed(adapter: Path) -> None:
    flip(adapter / ADAPTER, b"layers.1.mlp.up_proj.lora_A", b"layers.1.mlp.up_proj.lora_E")
    with pytest.raises(ModelError, match=r"lacks 1 tensor .*lora_A.*has 1 tensor .*lora_E"):
        load(adapter)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: flip(folder / ADAPTER, b"F32", b"I32"), f"{ADAPTER} has changed since the model was made"),
        (lambda folder: (folder / ADAPTER).write_bytes((folder / ADAPTER).read_bytes()[:-1] + b"\x7f"), "has changed"),
        (lambda folder: change(folder / "adapter_config.json", lora_alpha=3), r"adapter_config\.json has changed"),
        (lambda folder: (folder / ADAPTER).unlink(), "is not whole"),
        (lambda folder: change(folder / "ftkit.json", files={"../x": "sha256:0"}), "is not whole"),
    ],
)
def test_a_changed_artefact_is_refused(artefact: Path, damage: Callable[[Path], object], message: str) -> None:
    damage(artefact)
    with pytest.raises(ModelError, match=message):
        load(artefact)


def test_an_artefact_can_move_and_be_loaded_without_digests(artefact: Path, tiny_model: str, tmp_path: Path) -> None:
    loaded = load(artefact)
    shutil.copytree(tiny_model, tmp_path / "moved base")
    change(artefact / "adapter_config.json", base_model_name_or_path=str(tmp_path / "moved base"))
    change(artefact / "ftkit.json", base_name=str(tmp_path / "moved base"))
    again = load(artefact)
    assert all(torch.equal(a, b) for a, b in zip(loaded.model.parameters(), again.model.parameters(), strict=True))
    change(artefact / "ftkit.json", files=...)  # of version 0.1
    change(artefact / "adapter_config.json", lora_alpha=3)
    load(artefact)


def test_training_continues_only_from_a_whole_adapter(artefact: Path, tmp_path: Path) -> None:
    task = ft.Task("Say it.", input="{q}")
    data = ft.Dataset.from_rows([{"q": "1", "a": "2"}], task, target="a")
    job = Job(ft.SFT(epochs=1, precision="fp32"), data, None, str(artefact), tmp_path / "next")
    change(artefact / "ftkit.json", files=...)
    tensors(artefact / ADAPTER, lambda held: held.pop(sorted(held)[0]))
    with pytest.raises(ModelError, match="lacks 1 tensor"):
        train(job, lambda kind, data: None)


CODE = """
from pathlib import Path
Path({marker!r}).write_text("ran")
from transformers import LlamaConfig as Config, LlamaForCausalLM as Model, PreTrainedTokenizerFast as Tokenizer
"""


@pytest.mark.parametrize("family", ["llama", "strange"])
@pytest.mark.parametrize("part", ["config.json", "tokenizer_config.json"])
def test_a_model_with_code_of_its_own_is_never_asked_about_and_never_run(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str, part: str
) -> None:
    def asked(prompt: str = "") -> str:
        raise AssertionError("a question on the terminal")

    monkeypatch.setattr("builtins.input", asked)
    marker = tmp_path / "marker"
    (copy / "own.py").write_text(CODE.format(marker=str(marker)))
    kinds = {"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model", "AutoTokenizer": ["own.Tokenizer", None]}
    change(copy / part, auto_map=kinds)
    if family == "strange":
        change(copy / "config.json", model_type="strange", architectures=["Strange"])
        with pytest.raises(ModelError, match=f"cannot load the model '{copy}': ") as caught:
            load(copy)
        assert "trust_remote_code" not in str(caught.value)
    else:
        load(copy)  # by the classes of transformers
    assert not marker.exists()


class Harm:
    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("ran",))


@pytest.mark.parametrize("kind", ["model", "adapter"])
def test_a_pickle_with_code_is_not_loaded_nor_recommended(copy: Path, adapter: Path, kind: str) -> None:
    folder, name = (copy, "pytorch_model.bin") if kind == "model" else (adapter, "adapter_model.bin")
    (folder / (WEIGHTS if kind == "model" else ADAPTER)).unlink()
    for content in (pickle.dumps(Harm()), b"not even a pickle"):
        (folder / name).write_bytes(content)
        with pytest.raises(ModelError, match=r"a pickle .* convert them to safetensors") as caught:
            load(folder)
        assert "weights_only" not in str(caught.value)


def test_a_pickle_of_tensors_is_loaded(copy: Path, adapter: Path) -> None:
    for folder, old, new in ((copy, WEIGHTS, "pytorch_model.bin"), (adapter, ADAPTER, "adapter_model.bin")):
        expected = load(folder)
        torch.save(load_file(folder / old), folder / new)
        (folder / old).unlink()
        found = load(folder)
        assert all(
            torch.equal(a, b) for a, b in zip(expected.model.parameters(), found.model.parameters(), strict=True)
        )


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("ftkit.json", '{"base_name": "x', r"ftkit\.json cannot be read: .* cut off"),
        ("ftkit.json", "[" * 100_000, "nested too deeply"),
        ("ftkit.json", '{"base_name": 5}', r"ftkit\.json is damaged: base_name"),
        ("ftkit.json", '{"quantisation": "nf4"}', r"ftkit\.json is damaged: quantisation"),
        ("ftkit.json", '{"quantisation": {"quant_type": "nf5", "double_quant": true}}', r"quantisation\.quant_type"),
        ("ftkit.json", '{"precision": "int8"}', r"ftkit\.json is damaged: precision"),
        ("ftkit.json", '{"recipe": []}', r"ftkit\.json is damaged: recipe"),
        ("ftkit.json", "\x00", "cannot be read"),
        ("adapter_config.json", "{", r"adapter_config\.json cannot be read"),
        ("adapter_config.json", "\xff", r"adapter_config\.json cannot be read"),
        ("adapter_config.json", {"peft_type": "NEW"}, r"adapter_config\.json: peft_type 'NEW' is not known .*LORA"),
        ("adapter_config.json", {"peft_type": ...}, "peft_type None is not known"),
        ("adapter_config.json", {"peft_type": []}, r"peft_type \[\] is not known"),
        ("adapter_config.json", {"peft_type": "PROMPT_TUNING"}, "PROMPT_TUNING are not loaded"),
        ("adapter_config.json", {"peft_type": "XLORA"}, "XLORA are not loaded"),
        ("adapter_config.json", {"megatron_config": {}, "megatron_core": "this"}, None),
        ("adapter_config.json", {"megatron_config": {"a": 1}, "megatron_core": "this"}, "megatron_config"),
        ("adapter_config.json", {"r": 5000}, "says rank 5,000, and the largest dimension .* is 128"),
        ("adapter_config.json", {"r": 10**9}, "r is 1,000,000,000, more than any model has"),
        ("adapter_config.json", {"r": "eight"}, "cannot load the adapter"),
        ("adapter_config.json", {"r": 0}, "cannot load the adapter"),
        ("adapter_config.json", {"target_modules": 5}, "cannot load the adapter|cannot read the adapter"),
        ("adapter_config.json", {"base_model_name_or_path": 5}, "base model is not known"),
        ("adapter_config.json", {"base_model_name_or_path": "."}, None),
        ("adapter_model.safetensors", b"", r"adapter_model\.safetensors cannot be read"),
        ("adapter_model.safetensors", b"\x08" + b"\x00" * 7 + b"{}      ", "has no tensors"),
        ("adapter_model.safetensors", b"\xff" * 64, r"adapter_model\.safetensors cannot be read .*damaged or cut off"),
    ],
)  # fmt: skip
def test_odd_files_of_an_adapter_are_one_model_error(
    adapter: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: Any, message: str | None
) -> None:
    monkeypatch.chdir(adapter)  # "." is the adapter itself
    file = adapter / name
    if isinstance(content, dict):
        change(file, **content)
    else:
        file.write_bytes(content.encode("latin-1") if isinstance(content, str) else content)
    if content == {"base_model_name_or_path": "."}:
        message = "is an adapter itself"
    if message is None:
        load(adapter)
        return
    with pytest.raises(ModelError, match=message):
        load(adapter)


def test_a_truncated_adapter_is_named(adapter: Path) -> None:
    content = (adapter / ADAPTER).read_bytes()
    for length in (4, 100, len(content) // 2, len(content) - 1):
        (adapter / ADAPTER).write_bytes(content[:length])
        with pytest.raises(ModelError, match=r"adapter_model\.safetensors .*(damaged or cut off)"):
            load(adapter)


@pytest.mark.parametrize(
    "changes",
    [
        {"model_type": 5}, {"model_type": ...}, {"vocab_size": "many"}, {"hidden_size": None}, {"hidden_size": -64},
        {"num_attention_heads": 0}, {"num_attention_heads": 7}, {"num_key_value_heads": 3}, {"rope_parameters": 5},
        {"rope_parameters": {"rope_type": "unheard of"}}, {"hidden_act": "unheard of"}, {"torch_dtype": "int3"},
        {"dtype": "int3"}, {"quantization_config": {"quant_method": "unheard of"}}, {"quantization_config": 5},
        {"architectures": 5}, {"layer_types": ["unheard of"]}, {"rms_norm_eps": "small"}, {"pad_token_id": 10**6},
    ],
    ids=str,
)  # fmt: skip
def test_odd_configs_are_one_model_error_or_without_effect(copy: Path, changes: dict[str, Any]) -> None:
    change(copy / "config.json", **changes)
    problem = problem_of(copy)
    if problem is None:
        assert load(copy).model(input_ids=torch.tensor([[5, 6]])).logits.isfinite().all()
    else:
        assert str(copy) in problem
        assert "\n" not in problem


@pytest.mark.parametrize("name", ["num_hidden_layers", "vocab_size", "hidden_size", "intermediate_size", "head_dim"])
@pytest.mark.parametrize("value", [10**7 * 3, 10**12, 10**30])
def test_enormous_configs_are_refused_before_anything_is_built(copy: Path, name: str, value: int) -> None:
    change(copy / "config.json", **{name: value})
    began = time.monotonic()
    with pytest.raises(ModelError, match=rf"config\.json: {name} is {value:,}, more than any model has"):
        ft.Model(f"local:{copy}", ft.Task("x", input="{q}")).predict(q="1")
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("name", ["_attn_implementation", "attn_implementation", "_experts_implementation"])
def test_a_config_that_names_code_on_the_hub_is_refused(copy: Path, name: str) -> None:
    change(copy / "config.json", **{name: "owner/kernels"})
    with pytest.raises(ModelError, match=f"{name} is 'owner/kernels', which is code on the hub"):
        load(copy)


@pytest.mark.parametrize(
    "name", ["config.json", "tokenizer.json", "tokenizer_config.json", "adapter_config.json", ADAPTER]
)
def test_bytes_flipped_at_random_raise_nothing_but_model_errors(adapter: Path, copy: Path, name: str) -> None:
    draw = random.Random(name)
    folder = adapter if (adapter / name).is_file() else copy
    whole = (folder / name).read_bytes()
    for _ in range(8):
        damaged = bytearray(whole)
        for _ in range(draw.choice((1, 1, 4))):
            damaged[draw.randrange(min(len(damaged), 4000))] = draw.randrange(256)
        (folder / name).write_bytes(bytes(damaged))
        assert "\n" not in (problem_of(folder) or "")
