"""Forgetting and overfitting planted in the real small model, and a healthy run beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

import ftkit as ft
from ftkit.evaluation import make_canaries

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

ROWS = Path(__file__).parents[2] / "examples" / "visits" / "visits.jsonl"
SAMPLING = ft.Sampling(max_output_tokens=72)


class Visit(BaseModel):
    """What a clinic note says."""

    patient_name: str
    age: int
    diagnosis: str
    medication: str | None
    follow_up_days: int | None


VISIT_TASK = ft.Task("Extract the visit record from the clinic note.", input="{note}", output=Visit)


def measured(model: ft.Model, test: ft.Dataset, train: ft.Dataset | None, base: ft.Model | None = None) -> ft.Report:
    probes = ft.Probes(general=60, train=train, train_rows=24, base=base, base_rows=8)
    return ft.evaluate(model, test, sampling=SAMPLING, probes=probes)


@pytest.fixture(scope="module")
def base() -> ft.Model:
    return ft.Model("local:smollm2-135m", VISIT_TASK)


@pytest.fixture(scope="module")
def rows() -> tuple[ft.Dataset, ft.Dataset]:
    """Rows to train on and to test."""
    data = ft.Dataset.load(ROWS, VISIT_TASK, target="record")
    train, test = data.split(test=0.2, group_by="patient_id", seed=7)
    return train, test.take(16)


@pytest.fixture(scope="module")
def before(base: ft.Model, rows: tuple[ft.Dataset, ft.Dataset]) -> ft.Report:
    return measured(base, rows[1], None)


def test_a_run_that_is_too_hard_is_flagged(
    base: ft.Model, rows: tuple[ft.Dataset, ft.Dataset], before: ft.Report
) -> None:
    few = rows[0].take(12)
    hard = ft.SFT(epochs=10, batch_size=4, learning_rate=3e-3, adapter=ft.LoRA(rank=32))
    report = measured(ft.train(hard, few, backend="local:smollm2-135m").wait().model, rows[1], few, base)
    found = ft.compare(before, report).forgetting
    assert found is not None
    assert found.flags, found.lines
    assert report.probes is not None
    assert report.probes.overfitting is not None
    assert report.probes.overfitting.gap is not None
    assert report.probes.overfitting.gap.flagged, report.probes.overfitting.lines
    assert report.probes.drift is not None
    assert report.probes.drift.mean_kl > 0.5, report.probes.drift


def test_a_healthy_run_is_not_flagged(base: ft.Model, rows: tuple[ft.Dataset, ft.Dataset], before: ft.Report) -> None:
    some = rows[0].take(160)
    mild = ft.SFT(epochs=1, batch_size=8, learning_rate=2e-4, adapter=ft.LoRA(rank=16))
    report = measured(ft.train(mild, some, backend="local:smollm2-135m").wait().model, rows[1], some, base)
    found = ft.compare(before, report).forgetting
    assert found is not None
    assert found.flags == (), found.lines
    assert report.probes is not None
    assert report.probes.overfitting is not None
    assert report.probes.overfitting.flags == ()
    assert report.probes.drift is not None
    assert report.probes.drift.mean_kl < 0.5, report.probes.drift


def test_planted_canaries_are_said_by_heart() -> None:
    canaries = make_canaries(8, seed=1)
    rows: list[dict[str, Any]] = [{"messages": one.messages} for one in canaries if one.planted]
    data = ft.Dataset.from_rows(rows)
    hard = ft.SFT(epochs=30, batch_size=8, learning_rate=3e-3, adapter=ft.LoRA(rank=32))
    model = ft.train(hard, data, backend="local:smollm2-135m").wait().model
    report = ft.evaluate(model, data, probes=ft.Probes(general=False, canaries=canaries))
    assert report.probes is not None
    assert report.probes.overfitting is not None
    assert report.probes.overfitting.planted is not None
    assert report.probes.overfitting.planted[0] >= 6
    assert report.probes.overfitting.controls == (0, 8)
