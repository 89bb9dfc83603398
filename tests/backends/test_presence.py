"""Models that are not there are refused before a worker is started or torch is loaded."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

import ftkit as ft
from ftkit.backends.local import LocalBackend
from ftkit.store import RunRecord, Store
from tests.tiny import tiny_config

TASK = ft.Task("Say it.", input="{q}")
ROWS = ft.Dataset.from_rows([{"q": f"{n}", "a": f"{n + 1}"} for n in range(8)], TASK, target="a")


def refusal(model: str) -> str:
    with pytest.raises(ft.ModelError) as caught:
        LocalBackend(model).check(ft.SFT(), ROWS, None)
    with pytest.raises(ft.ModelError) as asked:
        LocalBackend(model).answerer()
    assert str(asked.value) == str(caught.value)
    assert ft.plan(ft.SFT(), ROWS, f"local:{model}").entries[0].problem == str(caught.value)
    return str(caught.value)


def test_a_mistyped_name_is_refused_with_the_one_that_was_meant() -> None:
    said = refusal("smollm2-135")
    assert "there is no model smollm2-135: it is no folder, no run, not the embedded 'smollm2-135m'" in said
    assert said.endswith("; did you mean smollm2-135m?")
    with pytest.raises(ft.ModelError, match="there is no model"):
        ft.train(ft.SFT(), ROWS, backend="local:smollm2-135")
    for task in (TASK, None):
        with pytest.raises(ft.ModelError, match="there is no model"):
            ft.Model("local:smollm2-135", task)
    assert Store().all() == []


def test_a_run_without_a_model_is_told_from_a_name_that_nobody_knows() -> None:
    record = RunRecord(
        id="my-first-run",
        backend="local",
        model="smollm2-135m",
        created_at=time.time(),
        recipe=ft.SFT().model_dump(mode="json"),
        task=TASK.model_dump(mode="json"),
        rows=8,
        data_fingerprint=ROWS.fingerprint,
    )
    Store().create(record)
    assert "no run that has a model (run my-first-run is queued)" in refusal("my-first-run")
    assert "did you mean my-first-run?" in refusal("my-frst-run")


def test_a_mistyped_folder_is_refused_with_the_one_beside_it(tmp_path: Path) -> None:
    (tmp_path / "my-model").mkdir()
    assert f"did you mean {tmp_path}/my-model?" in refusal(f"{tmp_path}/my-modle")


@pytest.mark.parametrize("name", ["Qwen 3", "owner/na me", "gpt2"])
def test_what_is_no_hub_id_is_refused(name: str) -> None:
    assert "no hub id, which has the form owner/name" in refusal(name)


def test_the_base_of_an_adapter_must_be_there_too(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(tmp_path / "gone")}))
    assert f"there is no model {tmp_path}/gone, the base of {tmp_path}" in refusal(str(tmp_path))


ASK = """
import sys
from ftkit.backends.local.model_lookup import check_model_exists
try:
    check_model_exists(sys.argv[1], sys.argv[1])
    print("there, as far as is known")
except Exception as error:
    print(error)
assert "torch" not in sys.modules
"""


def test_offline_only_the_hub_s_cache_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(name: str) -> str:
        return subprocess.run([sys.executable, "-c", ASK, name], check=True, capture_output=True, text=True).stdout

    snapshot = tmp_path / "models--owner--tiny" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    (tmp_path / "models--owner--tiny" / "refs").mkdir()
    (tmp_path / "models--owner--tiny" / "refs" / "main").write_text("abc")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "there" in asked("owner/tiny")
    said = asked("owner/tniy")
    assert "HF_HUB_OFFLINE is set, so it cannot be fetched; did you mean owner/tiny?" in said
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("TRANSFORMERS_OFFLINE", "0")
    assert asked("owner/tniy") == "there, as far as is known\n"


def test_layers_that_a_model_has_not_are_refused_with_those_it_has(tmp_path: Path) -> None:
    tiny_config("llama").save_pretrained(tmp_path)
    where = LocalBackend(str(tmp_path))
    with pytest.raises(
        ft.RefusedError, match=r"llama model has no layer 'c_attn' to adapt; it has q_proj, k_proj"
    ) as caught:
        where.check(ft.SFT(adapter=ft.LoRA(target_modules=("q_proj", "c_attn"))), ROWS, None)
    assert caught.value.fields == ("adapter.target_modules",)
    where.check(ft.SFT(adapter=ft.LoRA(target_modules=("mlp.up_proj", "q_proj"))), ROWS, None)


def test_layer_numbers_that_a_model_has_not_are_refused_with_those_it_has(tmp_path: Path) -> None:
    tiny_config("llama").save_pretrained(tmp_path)
    where = LocalBackend(str(tmp_path))
    with pytest.raises(ft.RefusedError, match="the model has no layer 2; it has layers 0 to 1") as caught:
        where.check(ft.SFT(adapter=ft.LoRA(layers_to_transform=range(1, 3))), ROWS, None)
    assert caught.value.fields == ("adapter.layers_to_transform",)
    where.check(ft.SFT(adapter=ft.LoRA(layers_to_transform=[1])), ROWS, None)
