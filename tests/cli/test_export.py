from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import ftkit as ft
from ftkit.training.job import Job, train

from .conftest import write_rows

TASK = ft.Task("Say the first word.", input="{text}")


@pytest.fixture(scope="module")
def tuned(tiny_model: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of an adapter on the tiny model, trained for three steps."""
    data = ft.Dataset.from_rows(
        [{"text": f"word{n} and more", "gold": f"word{n}"} for n in range(8)], TASK, target="gold"
    )
    folder = tmp_path_factory.mktemp("tuned") / "model"
    recipe = ft.SFT(epochs=3, batch_size=8, precision="fp32", adapter=ft.LoRA(rank=2))
    train(Job(recipe, data, None, tiny_model, folder, {"task": TASK.model_dump(mode="json")}), lambda kind, data: None)
    return str(folder)


@pytest.fixture
def words(texts: str) -> tuple[Any, ...]:
    return ("--data", texts, "--replay-rows", "2", "--max-output-tokens", "8")


def test_what_was_written_and_measured_goes_to_standard_output(ftkit, tuned, words):
    done = ftkit("export", f"local:{tuned}", "-o", "out", "--to", "ollama", *words)
    assert done.exit_code == 0, done.stderr
    assert "out: ollama, bf16\n" in done.stdout
    assert "mean KL:" in done.stdout
    assert "  vLLM " in done.stdout
    assert "replayed:        texts.jsonl: 2 rows" in done.stdout
    assert done.stderr.splitlines() == [
        "generating answers with the served model",
        "writing the whole model in bf16",
        "replaying the answers with the exported files",
    ]
    assert Path("out/Modelfile").is_file()
    again = ftkit("export", f"local:{tuned}", "-o", "out", *words)
    assert (again.exit_code, again.stdout) == (2, "")
    assert "already exists" in again.stderr
    assert ftkit("export", f"local:{tuned}", "-o", "out", "--to", "adapter", "--force", *words).exit_code == 0
    assert not Path("out/Modelfile").exists()
    assert Path("out/adapter_model.safetensors").is_file()


def test_drift_is_status_1_and_leaves_nothing(ftkit, tuned, words):
    failed = ftkit("export", f"local:{tuned}", "-o", "out", "--max-kl", "1e-12", *words)
    assert (failed.exit_code, failed.stdout) == (1, "")
    assert "error: the exported model differs from the one that ftkit serves: mean KL is" in failed.stderr
    assert not Path("out").exists()


def test_rows_are_read_as_everywhere_else(ftkit, tuned):
    rows = write_rows("notes.jsonl", [{"note": "a few words"}])
    failed = ftkit("export", f"local:{tuned}", "-o", "out", "--data", rows)
    assert failed.exit_code != 0
    assert "text" in failed.stderr
    done = ftkit("export", f"local:{tuned}", "-o", "out", "--data", rows, "--column", "text=note")
    assert done.exit_code == 0, done.stderr
    record = json.loads(Path("out/ftkit.json").read_text())
    assert record["export"]["replayed"] == "notes.jsonl"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--to", "onnx"), "--to onnx must be one of merged, adapter, ollama, gguf"),
        (("--dtype", "q4"), "--dtype q4 must be one of"),
        ((), "its rows are unknown; pass rows to replay: replay=Dataset.load(…), or --data FILE"),
    ],
)
def test_wrong_usage_is_a_sentence(ftkit, tuned, more, message):
    failed = ftkit("export", f"local:{tuned}", "-o", "out", *more)
    assert failed.exit_code == 2
    assert message in failed.stderr


def test_a_model_elsewhere_is_refused(ftkit, trained):
    failed = ftkit("export", f"toy:{trained}", "-o", "out")
    assert failed.exit_code == 2
    assert "is not a local model" in failed.stderr
