"""The loops that train and probe, on real models that are small enough to do it in seconds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import ftkit as ft
from ftkit.evaluation import make_canaries
from tests.evaluation.scripted import TRIAGE

SHORT = ft.Sampling(max_output_tokens=24)
QUICK = ft.SFT(epochs=4, batch_size=8, learning_rate=1e-2, adapter=ft.Full())


@pytest.mark.slow
def test_a_learning_curve_trains_on_growing_parts(tiny_model: str, tmp_path: Path) -> None:
    kinds = ("urgent", "soon", "later")
    path = tmp_path / "labels.jsonl"
    path.write_text(
        "".join(json.dumps({"note": f"{kinds[n % 3]} {n}", "wanted": kinds[n % 3]}) + "\n" for n in range(36))
    )
    data, test = ft.Dataset.load(path, TRIAGE, target="wanted").split(test=1 / 3, seed=1)
    curve = ft.learning_curve(QUICK, data, test, f"local:{tiny_model}", fractions=(0.25, 0.5, 1.0), sampling=SHORT)
    assert curve.rows == (round(len(data) / 4), round(len(data) / 2), len(data))
    assert curve.metric == "accuracy"
    assert [run.record.rows for run in ft.runs.all()] == list(reversed(curve.rows))
    assert {run.state for run in ft.runs.all()} == {"succeeded"}
    assert all(0 <= value <= 1 for value in curve.values)
    assert curve.doubled_low <= curve.doubled <= curve.doubled_high


@pytest.mark.slow
def test_planted_canaries_are_said_by_heart_and_controls_are_not(tiny_model: str) -> None:
    canaries = make_canaries(4, seed=1)
    data = ft.Dataset.from_rows([{"messages": one.messages} for one in canaries if one.planted])
    hard = QUICK.model_copy(update={"epochs": 150, "batch_size": 4})
    run = ft.train(hard, data, backend=f"local:{tiny_model}").wait(progress=False)
    base = ft.Model(f"local:{tiny_model}", data.task)
    probes = ft.Probes(general=11, train=data, canaries=canaries, base=base, base_rows=2)
    report = ft.evaluate(run.model, data, probes=probes, gpu="l4-24gb", sampling=SHORT)
    found = report.probes
    assert found is not None
    assert found.general is not None
    assert len(found.general.rows) == 11
    assert found.text is not None
    assert found.drift is not None
    assert found.drift.mean_kl > 0
    assert found.overfitting is not None
    assert found.overfitting.planted is not None
    assert found.overfitting.planted[0] >= 3
    assert found.overfitting.controls == (0, 4)
    assert any(flag.startswith("memorisation: ") for flag in report.notes)
    seconds = run.record.summary["training_seconds"]
    assert report.cost.training_source is not None
    assert report.cost.training_source.startswith(
        f"{seconds:,.1f} s of training at $0.7992 an hour (NVIDIA L4 at Modal"
    )


@pytest.mark.slow
def test_of_a_tuned_model_base_and_training_rows_are_known(tiny_model: str, tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    path.write_text("".join(json.dumps({"note": f"note {n}", "wanted": "soon"}) + "\n" for n in range(24)))
    train, test = ft.Dataset.load(path, TRIAGE, target="wanted").split(test=0.5, seed=1)
    run = ft.train(QUICK.model_copy(update={"epochs": 1}), train, backend=f"local:{tiny_model}").wait(progress=False)
    report = ft.evaluate(run.model, test, sampling=ft.Sampling(max_output_tokens=4))
    assert report.probes is not None
    assert report.probes.left_out == ()
    assert report.probes.overfitting is not None
    assert report.probes.overfitting.train_rows == len(train)
    assert report.forgetting is not None
    assert report.forgetting.general is not None
    assert report.forgetting.general.labels == (f"local:{tiny_model}", f"local:{run.id}")
    assert report.forgetting.drift is not None
    assert report.forgetting.text is not None
    path.unlink()
    assert run.training_data() is None
