"""Exports: what each form holds, that it answers as the served model does, and that drift is caught."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

import ftkit as ft
from ftkit.store import Store

from .conftest import ADAPTERS, TASK, recipe, rows

SHORT = {"replay_rows": 4, "max_output_tokens": 12}
SAMPLING = ft.Sampling(max_output_tokens=12)


@pytest.fixture
def unseen() -> ft.Dataset:
    return rows(6, first=20)


def tampering(folder: Path, change: Callable[[Path], None]) -> Callable[[str], None]:
    """Changes the files between their writing and their replay."""

    def progress(step: str) -> None:
        if step == "replaying the answers with the exported files":
            # Beside it is the folder of the served model's logits.
            [aside] = (one.parent for one in folder.parent.glob(f".{folder.name}.*/tokenizer.json"))
            change(aside)

    return progress


def assert_nothing_left(folder: Path) -> None:
    assert [one.name for one in folder.parent.iterdir() if folder.name in one.name] == []


@pytest.mark.parametrize(
    ("kind", "form"),
    [
        ("lora", "merged"),
        ("qlora", "merged"),
        ("qlora", "adapter"),
        ("lora", "ollama"),
        pytest.param("lora", "adapter", marks=pytest.mark.slow),
        *(
            pytest.param(kind, form, marks=pytest.mark.slow)
            for kind in ADAPTERS
            for form in ("merged", "adapter")
            if kind not in ("full", "lora", "qlora")
        ),
    ],
)
def test_every_adapter_in_every_form_answers_as_it_is_served(tuned, unseen, tmp_path, kind, form):
    folder = tmp_path / "out"
    made = ft.export(tuned(kind), folder, form, replay=unseen, **SHORT)
    assert (made.folder, made.form, made.adapter) == (folder, form, ADAPTERS[kind].kind)
    assert made.base == ("quantised" if kind == "qlora" else None)
    assert made.replayed == "rows"
    drift = made.measurements
    assert drift.rows == 4
    assert 4 <= drift.tokens <= 48
    assert 0 < drift.mean_kl <= made.max_kl
    assert 0 < drift.mean_logit_difference < drift.max_logit_difference
    assert drift.clear_changes == 0
    assert [server.name for server in made.servers] == ["vLLM", "Ollama", "llama.cpp", "LoRAX"]
    unknown = made.model_copy(update={"servers": ()})  # an adapter of a plug-in, without a list of servers
    assert "servers: it is not known which of them take" in str(unknown)
    assert f"{form}, bf16" in str(made)
    record = json.loads((folder / "ftkit.json").read_text())
    assert record["export"]["measurements"]["mean_kl"] == drift.mean_kl
    assert str(made).removeprefix(f"{folder.parent}/") in (folder / "README.md").read_text()
    # ftkit reads its own exports, and they know their task.
    note = unseen[0].columns["note"]
    again, before = (ft.Model(name, sampling=SAMPLING) for name in (f"local:{folder}", tuned(kind)))
    assert again.task == TASK
    if kind != "qlora" or form != "adapter":
        assert again.answer_many([ft.Request(TASK.prompt({"note": note}))])[0].text == (
            before.answer_many([ft.Request(TASK.prompt({"note": note}))])[0].text
        )


def test_all_weights_trained_are_a_whole_model(tuned, unseen, tmp_path):
    made = ft.export(tuned("full"), tmp_path / "out", replay=unseen, **SHORT)
    assert made.adapter == "full"
    assert made.measurements.mean_kl < made.max_kl
    with pytest.raises(ft.ConfigError, match="whole model without an adapter"):
        ft.export(tuned("full"), tmp_path / "other", "adapter", replay=unseen)


def test_a_merged_model_in_32_bits_is_the_served_one_but_for_rounding(tuned, unseen, tmp_path):
    made = ft.export(tuned("lora"), tmp_path / "out", dtype="fp32", replay=unseen, **SHORT)
    assert made.measurements.max_logit_difference < 1e-3
    assert made.measurements.equal_answers == 1
    assert "vllm serve FOLDER --dtype float32" in str(made)


def test_a_merged_folder_is_all_that_transformers_needs(tuned, unseen, tmp_path):
    ft.export(tuned("qlora"), tmp_path / "out", dtype="fp16", replay=unseen, **SHORT)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert model.dtype == torch.float16
    assert not hasattr(model.config, "quantization_config")
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert "lm_head.weight" not in load_file(tmp_path / "out" / "model.safetensors")
    settings = GenerationConfig.from_pretrained(tmp_path / "out")
    assert (settings.do_sample, settings.eos_token_id) == (False, 2)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert "<|im_start|>" in tokenizer.chat_template


def test_the_original_weights_drift_unless_that_is_accepted(tuned, unseen, tmp_path):
    exact = {"dtype": "fp32", "replay": unseen, **SHORT}
    seen = ft.export(tuned("qlora"), tmp_path / "seen", **exact)
    assert seen.measurements.mean_kl < 1e-6
    with pytest.raises(ft.ExportError, match=r'mean KL is .* export with base="quantised", or accept'):
        ft.export(tuned("qlora"), tmp_path / "original", base="original", max_kl=1e-4, **exact)
    assert_nothing_left(tmp_path / "original")
    made = ft.export(tuned("qlora"), tmp_path / "original", base="original", max_kl=10, max_clear_changes=1.0, **exact)
    assert made.base == "original"
    assert made.measurements.mean_kl > 1e-4


def test_an_adapter_folder_is_a_clean_copy(tuned, unseen, tmp_path):
    made = ft.export(tuned("lora"), tmp_path / "out", "adapter", replay=unseen, **SHORT)
    source = Path(tuned("lora").removeprefix("local:"))
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        assert (tmp_path / "out" / name).read_bytes() == (source / name).read_bytes()
    assert "its base is the folder" in made.notes[0]
    assert {server.name: server.takes for server in made.servers}["vLLM"] == "yes"


def test_servers_that_do_not_take_an_adapter_are_named(tuned, unseen, tmp_path):
    for kind in ("dora", "adalora"):
        made = ft.export(tuned(kind), tmp_path / kind, "adapter", replay=unseen, **SHORT)
        assert {server.takes for server in made.servers} == {"no"}
        assert all("use the merged form" in server.why or "export for ollama" in server.why for server in made.servers)


def test_an_output_layer_of_its_own_is_no_longer_tied_after_merging(tiny_model, tokenizer, unseen, tmp_path):
    base = AutoModelForCausalLM.from_pretrained(tiny_model)
    model = get_peft_model(base, LoraConfig(r=2, target_modules=["q_proj"], modules_to_save=["lm_head"]))
    with torch.no_grad():
        model.base_model.model.lm_head.modules_to_save["default"].weight.mul_(-1)
    folder = tmp_path / "adapter"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    asked = ft.Model(f"local:{folder}", TASK)
    ft.export(asked, tmp_path / "out", dtype="fp32", replay=unseen, **SHORT)
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert torch.equal(again.lm_head.weight, -again.model.embed_tokens.weight)
    made = ft.export(asked, tmp_path / "copy", "adapter", replay=unseen, **SHORT)
    assert "full layers (lm_head; modules_to_save)" in made.notes[0]
    assert {server.takes for server in made.servers} == {"no"}


def _scale(folder: Path, by: float, name: str = "model.layers.1.mlp.down_proj.weight") -> None:
    file = folder / "model.safetensors"
    weights = load_file(file)
    weights[name] = weights[name] * by
    save_file(weights, file, metadata={"format": "pt"})


def _stop_elsewhere(folder: Path) -> None:
    GenerationConfig(eos_token_id=3).save_pretrained(folder)


def _other_tokens(folder: Path) -> None:
    settings = json.loads((folder / "tokenizer.json").read_text())
    settings["model"]["merges"] = settings["model"]["merges"][::2]
    (folder / "tokenizer.json").write_text(json.dumps(settings))


def _other_template(folder: Path) -> None:
    template = folder / "chat_template.jinja"
    template.write_text(template.read_text().replace("<|im_start|>assistant", "<|im_start|>bot"))


def _half(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def _other_modelfile(folder: Path) -> None:
    file = folder / "Modelfile"
    file.write_text(file.read_text().replace('<|im_start|>assistant\n"""', '<|im_start|>assistant """'))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda folder: _scale(folder, -1),
            r"differs from the one that ftkit serves: mean KL is .* above the limit of 0\.01",
        ),
        (lambda folder: _scale(folder, float("nan")), "mean KL is nan"),
        (_stop_elsewhere, r"stops at the tokens \[3\], the served one at \[2\]"),
        (_other_tokens, "rows:[0-9]+: the exported tokenizer makes other tokens of the prompt than ftkit, from token"),
        (_other_template, "the exported chat template is not the served model's"),
        (_half, "transformers cannot load the exported model"),
        (_other_modelfile, r"rows:[0-9]+: the chat template cannot be translated to Go; from character"),
    ],
    ids=["weights", "nan", "stops", "tokenizer", "template", "torn", "modelfile"],
)
def test_drift_of_any_file_is_caught_and_leaves_nothing(tuned, unseen, tmp_path, change, reason):
    folder = tmp_path / "out"
    with pytest.raises(ft.ExportError, match=reason):
        ft.export(tuned("lora"), folder, "ollama", replay=unseen, progress=tampering(folder, change), **SHORT)
    assert_nothing_left(folder)


def test_a_clear_token_must_not_change_however_small_the_mean(tuned, unseen, tmp_path):
    folder = tmp_path / "out"
    change = tampering(folder, lambda aside: _scale(aside, -1))
    with pytest.raises(ft.ExportError, match=r"of \d+ clear tokens changed; the first at rows:\d+, token \d+ of the"):
        ft.export(tuned("lora"), folder, replay=unseen, max_kl=1e6, progress=change, **SHORT)


def test_a_template_that_go_cannot_say_is_refused_before_anything_is_written(tuned, tmp_path):
    calls = [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    talk = [
        {"role": "user", "content": "call f"},
        {"role": "assistant", "content": "", "tool_calls": calls},
        {"role": "tool", "tool_call_id": "a", "content": "1"},
        {"role": "assistant", "content": "1"},
    ]
    data = ft.Dataset.from_rows([{"messages": talk}], ft.Task())
    steps: list[str] = []
    asked = ft.Model(tuned("lora"), ft.Task(), other_task=True)
    with pytest.raises(ft.ExportError, match=r"rows:1: tool calls \(messages\[1\]\).*use the merged form"):
        ft.export(asked, tmp_path / "out", "ollama", replay=data, progress=steps.append, **SHORT)
    assert steps == ["generating answers with the served model"]
    assert_nothing_left(tmp_path / "out")


@pytest.mark.slow
def test_the_rows_of_the_run_that_made_the_model_are_replayed(tiny_model, tmp_path):
    run = ft.train(
        recipe(ADAPTERS["lora"], epochs=1), rows(), backend=f"local:{tiny_model}", validation=rows(4, 40)
    ).wait(progress=False)
    made = ft.export(run.model, tmp_path / "out", **SHORT)
    assert made.replayed == f"validation rows of run {run.id}"
    assert made.model == f"local:{run.id}"
    job = run.folder / "job.json"
    job.write_text(json.dumps(json.loads(job.read_text()) | {"validation": None}))
    assert ft.export(f"local:{run.id}", tmp_path / "two", **SHORT).replayed == f"training rows of run {run.id}"
    shutil.rmtree(Store().folder / "datasets")
    with pytest.raises(ft.ConfigError, match=f"training rows of run {run.id} can no longer be opened"):
        ft.export(run.model, tmp_path / "three")


def test_a_model_without_rows_asks_for_some(tuned, tmp_path):
    with pytest.raises(ft.ConfigError, match=r"its rows are unknown; pass rows to replay: replay=Dataset\.load"):
        ft.export(tuned("lora"), tmp_path / "out")
    with pytest.raises(ft.ConfigError, match="no row to replay"):
        ft.export(tuned("lora"), tmp_path / "out", replay=rows()[:0])


def test_an_untuned_model_can_be_exported_too(tiny_model, unseen, tmp_path):
    made = ft.export(ft.Model(f"local:{tiny_model}", TASK), tmp_path / "out", "ollama", replay=unseen, **SHORT)
    assert made.adapter == "none"
    assert "FROM .\n" in (tmp_path / "out" / "Modelfile").read_text()
    with pytest.raises(ft.ConfigError, match="which task"):
        ft.export(f"local:{tiny_model}", tmp_path / "other")


def test_a_folder_in_the_way_is_kept_unless_it_is_an_export(tuned, unseen, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    ft.export(tuned("lora"), folder, "adapter", replay=unseen, **SHORT)  # an empty one is no loss
    with pytest.raises(ft.ConfigError, match="already exists"):
        ft.export(tuned("lora"), folder, replay=unseen, **SHORT)
    ft.export(tuned("lora"), folder, replay=unseen, overwrite=True, **SHORT)
    assert not (folder / "adapter_config.json").exists()
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("years of work")
    with pytest.raises(ft.ConfigError, match="is not an earlier export"):
        ft.export(tuned("lora"), precious, replay=unseen, overwrite=True)
    with pytest.raises(ft.ConfigError, match="exists and is not a folder"):
        ft.export(tuned("lora"), precious / "thesis.txt", replay=unseen, overwrite=True)
    assert (precious / "thesis.txt").read_text() == "years of work"
    source = tuned("lora").removeprefix("local:")
    with pytest.raises(ft.ConfigError, match="is not an earlier export"):
        ft.export(tuned("lora"), source, replay=unseen, overwrite=True)


def test_a_failed_export_leaves_the_earlier_one(tuned, unseen, tmp_path):
    folder = tmp_path / "out"
    ft.export(tuned("lora"), folder, replay=unseen, **SHORT)
    with pytest.raises(ft.ExportError):
        ft.export(
            tuned("lora"), folder, replay=unseen, overwrite=True, progress=tampering(folder, _stop_elsewhere), **SHORT
        )
    assert AutoModelForCausalLM.from_pretrained(folder).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"form": "onnx"}, "form='onnx' must be one of merged, adapter, ollama, gguf"),
        ({"dtype": "int8"}, "dtype='int8' must be one of bf16, fp16, fp32"),
        ({"base": "other"}, "base='other' must be one of quantised, original"),
        ({"replay_rows": 0}, "replay_rows must be at least 1"),
        ({"max_kl": 0.0}, "max_kl must be above 0"),
        ({"max_clear_changes": 2.0}, "max_clear_changes must be a share from 0 to 1"),
    ],
)
def test_arguments_that_make_no_sense_are_named(tmp_path, options, message):
    with pytest.raises(ft.ConfigError, match=message):
        ft.export("local:nothing", tmp_path / "out", **options)


def test_a_prompt_that_fills_the_model_is_named(tuned, tmp_path):
    data = ft.Dataset.from_rows([{"note": "long " * 600, "gold": "x"}], TASK, target="gold")
    with pytest.raises(ft.ConfigError, match=r"rows:1: the prompt has \d+ tokens, and the model takes 512"):
        ft.export(tuned("lora"), tmp_path / "out", replay=data)
    assert_nothing_left(tmp_path / "out")


def test_a_weight_too_large_for_the_type_is_named(tiny_model, tokenizer, unseen, tmp_path):
    base = AutoModelForCausalLM.from_pretrained(tiny_model)
    with torch.no_grad():
        base.model.layers[0].mlp.up_proj.weight[0, 0] = 1e6
    base.save_pretrained(tmp_path / "large")
    tokenizer.save_pretrained(tmp_path / "large")
    with pytest.raises(ft.ExportError, match=r"model\.layers\.0\.mlp\.up_proj\.weight has values that fp16 cannot"):
        ft.export(ft.Model(f"local:{tmp_path / 'large'}", TASK), tmp_path / "out", dtype="fp16", replay=unseen, **SHORT)


def test_a_model_elsewhere_cannot_be_exported(tmp_path):
    class Elsewhere:
        name, model = "hosted", "big"

        def known_task(self) -> ft.Task:
            return TASK

    with pytest.raises(ft.ConfigError, match="hosted:big is not a local model"):
        ft.export(ft.Model(Elsewhere()), tmp_path / "out")  # type: ignore[arg-type]
