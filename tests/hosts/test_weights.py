"""Weights that hosts give out: a real adapter comes home and answers here as it would have there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import ftkit as ft
from ftkit.backends.fireworks import Fireworks
from ftkit.backends.openai_jobs import OpenAIJobs
from ftkit.backends.together import Together
from ftkit.cli.app import app
from ftkit.errors import ConfigError, HostError, RunError

from .conftest import QUICK
from .fireworks_host import FireworksFake
from .serving import serving
from .together_host import TogetherFake


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr("ftkit.runs.run._POLL_S", 0.0)


@pytest.fixture(scope="module")
def adapter(tiny_model, tmp_path_factory) -> Path:
    """A PEFT adapter of the tiny model, whose answers differ from the base's."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(3)
    made = get_peft_model(
        AutoModelForCausalLM.from_pretrained(tiny_model),
        LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False),
    )
    folder = tmp_path_factory.mktemp("adapter")
    made.save_pretrained(folder)
    settings = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(settings | {"base_model_name_or_path": tiny_model}))
    return folder


def _hosts(adapter, place):
    weights = {file.name: file.read_bytes() for file in adapter.iterdir()}
    if place == "together":
        fake = TogetherFake()
        fake.weights = {f"ft-1/{name}": content for name, content in weights.items()}
        return fake, lambda: Together(
            "Qwen/Qwen3.5-9B", base_url=f"{fake.url}/v1", api_key=fake.key, retry_policy=QUICK
        )
    fake = FireworksFake()
    fake.weights = weights
    return fake, lambda: Fireworks("qwen3-8b", account="acme", base_url=fake.url, api_key=fake.key, retry_policy=QUICK)


@pytest.mark.parametrize("place", ["together", "fireworks"])
def test_an_adapter_comes_home_and_answers(adapter, notes, tiny_model, tmp_path, home, place):
    fake, made = _hosts(adapter, place)
    with serving(fake):
        run = ft.train(ft.SFT(), notes, backend=made()).wait(progress=False)
        busy = iter(["500_before", "truncate", "drop_before"])
        fake.fault = lambda call: next(busy, None)
        model = run.download(tmp_path / "weights")
        assert fake.key not in "".join(
            file.read_text(errors="replace") for file in tmp_path.rglob("*") if file.is_file()
        )
    assert model.name == f"local:{tmp_path / 'weights'}"
    assert ft.Model(model.name).task.fingerprint == notes.task.fingerprint  # it knows what it was tuned for
    with pytest.raises(ConfigError, match="another task"):
        ft.Model(model.name, ft.Task("Else.", input="{text}"))
    asked = [ft.Request(notes.task.prompt({"text": "case 1"}))]
    drawing = ft.Sampling(max_output_tokens=8)
    here, directly, base = (
        ft.Model(f"local:{name}", notes.task).answer_many(asked, drawing)[0].text
        for name in (tmp_path / "weights", adapter, tiny_model)
    )
    assert here == directly
    assert here != base


def test_what_is_no_model_leaves_no_folder(notes, tmp_path, home, adapter):
    fake, made = _hosts(adapter, "together")
    fake.weights = {"readme.txt": b"sorry"}
    with serving(fake):
        run = ft.train(ft.SFT(), notes, backend=made()).wait(progress=False)
        with pytest.raises(HostError, match=r"no model: it holds readme\.txt"):
            run.download(tmp_path / "weights")
        assert list(tmp_path.glob("*weights*")) == []
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "file").write_text("")
        with pytest.raises(RunError, match="not an empty folder"):
            run.download(tmp_path / "mine")


def test_who_keeps_the_weights_says_so(openai_fake, openai_jobs, notes, tmp_path, monkeypatch):
    run = ft.train(ft.SFT(), notes, backend=openai_jobs).wait(progress=False)
    with pytest.raises(RunError, match="openai offers no weights"):
        run.download(tmp_path / "weights")
    monkeypatch.setenv("OPENAI_BASE_URL", f"{openai_fake.url}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", openai_fake.key)
    done = CliRunner().invoke(app, ["runs", "download", run.id, str(tmp_path / "weights")])
    assert done.exit_code == 1
    assert "offers no weights" in done.stderr


def test_nebius_gives_the_files_of_its_last_checkpoint(openai_fake, notes, tmp_path, adapter):
    where = OpenAIJobs(
        "meta-llama/Llama-3.1-8B-Instruct", profile="nebius", base_url=f"{openai_fake.url}/v1",
        api_key=openai_fake.key, retry_policy=QUICK,
    )  # fmt: skip
    run = ft.train(ft.SFT(), notes, backend=where).wait(progress=False)
    kept = [
        openai_fake.keep(f"checkpoint/{file.name}", file.read_bytes(), "fine-tune-results")["id"]
        for file in adapter.iterdir()
    ]
    openai_fake.checkpoint_files = {2: kept, 1: ["file-0"]}
    run.download(tmp_path / "weights")
    assert (tmp_path / "weights" / "adapter_model.safetensors").read_bytes() == (
        adapter / "adapter_model.safetensors"
    ).read_bytes()
