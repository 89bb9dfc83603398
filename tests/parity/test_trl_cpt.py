"""Continued pre-training as ftkit and TRL's ``SFTTrainer`` on a column of texts compute it."""

from __future__ import annotations

from pathlib import Path

import pytest

import ftkit as ft
from tests.parity import trl_side
from tests.parity.ftkit_side import run_job
from tests.parity.test_trl_sft import same, stir

TEXTS = [f"Ward {n}: bed {n % 3} is next to the window." + " All is well." * n for n in range(6)]


@pytest.mark.parametrize("budget", [4096, 100])  # in one pack, and in several
def test_loss_and_gradients_of_a_batch_are_those_of_trl(
    budget: int, tiny_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    recipe = ft.CPT(
        adapter=ft.LoRA(rank=4), learning_rate=1e-3, precision="fp32", batch_size=9, block_size=2048,
        max_batch_tokens=budget,
    )  # fmt: skip
    data = ft.Dataset.from_rows([{"text": text} for text in TEXTS])
    ran = run_job(monkeypatch, recipe, data, tiny_model, tmp_path / "ftkit", before=stir)
    theirs = trl_side.texts(tiny_model, ran.config, ran.weights, TEXTS, tmp_path / "trl")
    assert ran.steps("loss") == [pytest.approx(theirs.loss, rel=1e-5)]
    assert ran.steps("token_accuracy") == [pytest.approx(theirs.mean_token_accuracy, abs=1e-4)]
    same(ran.first_gradients, theirs.gradients)
