"""The example scripts, run as a user runs them. Slow: real training."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import ftkit as ft

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


def run(script: str, *arguments: str, stdin: str | None = None) -> str:
    result = subprocess.run(
        [sys.executable, str(ROOT / "examples" / script), *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.timeout(3600)
def test_the_embedded_model_learns_to_read_visits(tmp_path: Path) -> None:
    said = run("visits/run.py", "--out", str(tmp_path))
    before, after = (ft.Report.load(tmp_path / f"{name}.json") for name in ("base", "tuned"))
    assert before["schema_valid_rate"].value <= 0.05
    assert after["schema_valid_rate"].value >= 0.95
    assert after["record_exact"].low > before["record_exact"].high
    assert "Visit(patient_name=" in said
    assert "</html>" in (tmp_path / "comparison.html").read_text(encoding="utf-8")

    # The tuned model in a product: it needs nothing but the run's id.
    model = json.loads((tmp_path / "tuned.json").read_text(encoding="utf-8"))["model"]
    note = "Ada Quill, 62, came in with burning on passing water for three days. UTI. Trimethoprim. Back in 2 weeks."
    told = run("product/intake.py", "--model", model, stdin=note)
    assert told.startswith("Ada Quill, 62:")


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("adapter", ["lora", "qlora", "dora", "adalora", "full"])
def test_another_model_and_any_adapter_need_one_argument(adapter: str, tiny_model: str, tmp_path: Path) -> None:
    said = run("visits/run.py", "--backend", f"local:{tiny_model}", "--adapter", adapter, "--out", str(tmp_path))
    assert "trained: loss" in said
    assert ft.Report.load(tmp_path / "tuned.json").rows


@pytest.mark.timeout(3600)
def test_the_embedded_model_learns_to_sort_messages(tmp_path: Path) -> None:
    said = run("triage/run.py", "--out", str(tmp_path))
    assert "accuracy" in said
    assert (tmp_path / "triage.html").is_file()


@pytest.mark.timeout(1800)
def test_preferences_follow_on_demonstrations_and_a_reward_model_scores(tiny_model: str) -> None:
    said = run("preferences/run.py", "--backend", f"local:{tiny_model}", "--epochs", "1")
    assert "the better reply has become the likelier one" in said
    assert "of 14 held-out pairs" in said
