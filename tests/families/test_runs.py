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


def test_experts_that_stay_in_32_bits_are_named(saved, tmp_path):
    warnings = learn(saved("gpt_oss", hidden_size=64), tmp_path / "tuned", ft.QLoRA(rank=4))
    assert any("stay in float32: bitsandbytes" in one for one in warnings)


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
