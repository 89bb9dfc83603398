"""Whole runs of families that need something of their own: training, scores, export."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

import ftkit as ft
from ftkit.modeling.model_source import Quantization, find_source
from ftkit.modeling.pretrained import load_pretrained
from ftkit.training.job import Job, train
from tests.families.tiny_families import tiny_family
from tests.training.test_pairs import Trained, dpo, pairs, reward
from tests.training.test_training import TASK

SHORT = {"max_output_tokens": 4}


@pytest.fixture
def saved(tokenizer: Any, tmp_path: Path) -> Any:
    """Writes a tiny model of a family with SmolLM2's tokenizer and returns the folder's name."""

    def save(family: str, **changes: Any) -> str:
        folder = tmp_path / family
        tiny_family(family, vocab_size=len(tokenizer), window=64, **changes).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return str(folder)

    return save


def learn(model: str, output: Path, adapter: Any) -> list[str]:
    """Train two steps; returns the warnings."""
    rows = [{"note": f"bed {n}", "gold": f"{n}"} for n in range(8)]
    data = ft.Dataset.from_rows(rows, TASK, target="gold")
    recipe = ft.SFT(adapter=adapter, epochs=1, batch_size=4, learning_rate=1e-2, precision="fp32")
    warnings: list[str] = []

    def emit(kind: str, event: dict[str, Any]) -> None:
        if kind == "warning":
            warnings.append(event["message"])

    record = {"task": TASK.model_dump(mode="json"), "task_fingerprint": TASK.fingerprint}
    train(Job(recipe, data, None, model, output, record), emit)
    return warnings


def unseen() -> ft.Dataset:
    return ft.Dataset.from_rows([{"note": f"bed {n}", "gold": f"{n}"} for n in (40, 41)], TASK, target="gold")


@pytest.mark.parametrize("family", ["opt", "bloom"])
def test_preferences_begin_at_log_two(family, saved, tmp_path):
    noisy = {"dropout": 0.3, "attention_dropout": 0.3} if family == "opt" else {"hidden_dropout": 0.3}
    done = Trained(dpo(epochs=1), saved(family, **noisy), tmp_path / "dpo", pairs(4))
    assert done.steps[0]["loss"] == pytest.approx(math.log(2), rel=1e-4)


@pytest.mark.parametrize("family", ["gemma2", "gpt_oss", "opt"])
def test_reward_models_score(family, saved, tmp_path):
    done = Trained(reward(epochs=1), saved(family), tmp_path / "rm", pairs(4))
    row = next(iter(pairs(1)))
    with ft.Scorer(f"local:{done.folder}") as scorer:
        assert math.isfinite(scorer.score(row.messages))


def test_a_reward_model_of_a_family_without_scores_is_refused(saved, tmp_path):
    with pytest.raises(ft.ModelError, match="cannot become a reward model"):
        Trained(reward(epochs=1), saved("modernbert-decoder"), tmp_path / "rm", pairs(4))


def test_gpt2_in_four_bits_is_exported_as_gpt2(saved, tmp_path):
    base = saved("gpt2", n_embd=64)
    learn(base, tmp_path / "tuned", ft.QLoRA(rank=4))
    made = ft.export(f"local:{tmp_path / 'tuned'}", tmp_path / "out", replay=unseen(), dtype="fp32", **SHORT)
    assert made.measurements.equal_answers == 1
    from transformers import AutoModelForCausalLM

    weights = AutoModelForCausalLM.from_pretrained(tmp_path / "out").transformer.h[0].attn.c_attn.weight
    assert tuple(weights.shape) == (64, 192)


def test_a_folder_in_four_bits_trains_and_is_merged(saved, tokenizer, tmp_path):
    plain = find_source(saved("llama", hidden_size=64))
    held = Quantization("nf4", True)
    loaded = load_pretrained(plain, precision="fp32", device=torch.device("cpu"), quantisation=held)
    loaded.model.save_pretrained(tmp_path / "four-bits")
    tokenizer.save_pretrained(tmp_path / "four-bits")
    base = str(tmp_path / "four-bits")
    with pytest.raises(ft.RefusedError, match="hold them quantised"):
        learn(base, tmp_path / "full", ft.Full())
    warnings = learn(base, tmp_path / "tuned", ft.QLoRA(rank=4, quant_type="fp4"))
    assert any("hold quantised weights already (nf4)" in one for one in warnings)
    made = ft.export(f"local:{tmp_path / 'tuned'}", tmp_path / "out", replay=unseen(), dtype="fp32", **SHORT)
    assert made.measurements.equal_answers == 1
    assert "quantization_config" not in json.loads((tmp_path / "out" / "config.json").read_text())


def hold_as_mxfp4(folder: str) -> None:
    """Rewrite a tiny gpt-oss as its authors publish theirs: the experts in blocks of 32 numbers of 4 bits."""
    from safetensors.torch import load_file, save_file

    file, config = Path(folder) / "model.safetensors", Path(folder) / "config.json"
    weights, random = load_file(file), torch.Generator().manual_seed(0)
    for name in [name for name in weights if name.endswith(("experts.gate_up_proj", "experts.down_proj"))]:
        experts, inner, outer = weights.pop(name).shape
        blocks = torch.randint(0, 256, (experts, outer, inner // 32, 16), dtype=torch.uint8, generator=random)
        weights[f"{name}_blocks"] = blocks
        weights[f"{name}_scales"] = torch.full(blocks.shape[:-1], 122, dtype=torch.uint8)
    save_file(weights, file, metadata={"format": "pt"})
    settings = json.loads(config.read_text())
    settings["quantization_config"] = {"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head", "router"]}
    config.write_text(json.dumps(settings))


def test_a_folder_in_mxfp4_is_expanded_and_trains(saved, tmp_path):
    base = saved("gpt_oss", hidden_size=64, intermediate_size=64)
    hold_as_mxfp4(base)
    warnings = learn(base, tmp_path / "tuned", ft.QLoRA(rank=4))
    assert any("quantised weights already (mxfp4); they are expanded" in one for one in warnings)
    made = ft.export(f"local:{tmp_path / 'tuned'}", tmp_path / "out", replay=unseen(), dtype="fp32", **SHORT)
    assert made.measurements.equal_answers == 1
    assert "quantization_config" not in json.loads((tmp_path / "out" / "config.json").read_text())


@pytest.mark.parametrize(
    ("held", "problem"),
    [
        ({"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": False}, "gptq, which cannot be loaded"),
        ({"quant_method": "awq", "bits": 4, "group_size": 128, "version": "gemm"}, "awq, which cannot be loaded here"),
        ({"quant_method": "aqlm"}, "aqlm, which cannot be loaded here"),
        ({"quant_method": "new_kind"}, "new_kind, which cannot be loaded here: Unknown quantization type"),
        ({"bits": 4}, "an unknown method, which cannot be loaded here"),
    ],
)
def test_files_in_another_quantisation_are_refused_before_their_weights_are_read(saved, tmp_path, held, problem):
    base = saved("llama")
    settings = json.loads((Path(base) / "config.json").read_text())
    (Path(base) / "config.json").write_text(json.dumps({**settings, "quantization_config": held}))
    data = ft.Dataset.from_rows([{"note": "bed 1", "gold": "1"}] * 4, TASK, target="gold")
    for adapter in (ft.LoRA(), ft.QLoRA()):
        with pytest.raises(ft.RefusedError, match=problem) as caught:
            ft.train(ft.SFT(adapter=adapter), data, backend=f"local:{base}")
        assert "Take the model in 16 bits" in str(caught.value)
    with pytest.raises(ft.FtkitError) as failed:
        ft.Model(f"local:{base}", TASK).predict(note="x")
    assert base in str(failed.value)


@pytest.mark.parametrize("family", ["gpt_oss", "mixtral"])  # PEFT adapts the experts of the second
def test_fused_experts_are_held_in_four_bits(family, saved, tmp_path):
    base = saved(family, hidden_size=64, intermediate_size=64)
    warnings = learn(base, tmp_path / "tuned", ft.QLoRA(rank=4))
    assert any("are held in 4 bits" in one for one in warnings)
    assert any("gradient_checkpointing" in one for one in warnings) == (family == "mixtral")
    made = ft.export(f"local:{tmp_path / 'tuned'}", tmp_path / "out", replay=unseen(), dtype="fp32", **SHORT)
    assert made.measurements.equal_answers == 1


def test_rows_that_would_change_each_other_by_dynamic_positions_are_refused(saved):
    rope = {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}
    base = saved("llama", rope_parameters=rope)
    data = ft.Dataset.from_rows([{"note": "bed 1", "gold": "1"}] * 4, TASK, target="gold")
    with pytest.raises(ft.RefusedError, match=r"beyond 128 tokens .*dynamic NTK") as caught:
        ft.train(ft.SFT(max_length=129), data, backend=f"local:{base}")
    assert caught.value.fields == ("max_length",)


def test_layers_are_written_in_one_order(saved, tmp_path):
    learn(saved("mamba"), tmp_path / "tuned", ft.LoRA(rank=4))
    config = json.loads((tmp_path / "tuned" / "adapter_config.json").read_text())
    assert config["target_modules"] == sorted(config["target_modules"])
    assert all(name.rpartition(".")[2] in ("out_proj", "dt_proj") for name in config["exclude_modules"])
    model = ft.Model(f"local:{tmp_path / 'tuned'}", TASK, sampling=ft.Sampling(max_output_tokens=3))
    assert model.predict(note="x") is not None


def test_a_token_beyond_the_embedding_is_named(saved, tokenizer):
    folder = saved("llama")
    from transformers import AutoTokenizer

    more = AutoTokenizer.from_pretrained(folder)
    more.add_tokens(["<note>"])
    more.save_pretrained(folder)
    model = ft.Model(f"local:{folder}", TASK, sampling=ft.Sampling(max_output_tokens=3))
    assert model.predict(note="without it") is not None
    with pytest.raises(ft.ModelError, match=r"'<note>'.*resize_token_embeddings"):
        model.predict(note="a <note> here")
