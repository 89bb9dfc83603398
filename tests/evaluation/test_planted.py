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


def test_a_run_that_is_too_hard_is_flagged_and_a_healthy_one_is_not() -> None:
    data = ft.Dataset.load(ROWS, VISIT_TASK, target="record")
    train, test = data.split(test=0.2, group_by="patient_id", seed=7)
    test = test.take(24)
    base = ft.Model("local:smollm2-135m", VISIT_TASK)
    before = measured(base, test, None)

    few = train.take(12)
    hard = ft.SFT(epochs=20, batch_size=4, learning_rate=3e-3, adapter=ft.LoRA(rank=32))
    ruined = measured(ft.train(hard, few, backend="local:smollm2-135m").wait().model, test, few, base)
    found = ft.compare(before, ruined).forgetting
    assert found is not None
    assert found.flags, found.lines
    assert ruined.probes is not None
    assert ruined.probes.overfitting is not None
    assert ruined.probes.overfitting.gap is not None
    assert ruined.probes.overfitting.gap.flagged, ruined.probes.overfitting.lines

    mild = ft.SFT(epochs=1, batch_size=8, learning_rate=2e-4, adapter=ft.LoRA(rank=16))
    some = train.take(160)
    healthy = measured(ft.train(mild, some, backend="local:smollm2-135m").wait().model, test, some, base)
    kept = ft.compare(before, healthy).forgetting
    assert kept is not None
    assert kept.flags == (), kept.lines
    assert healthy.probes is not None
    assert healthy.probes.overfitting is not None
    assert healthy.probes.overfitting.flags == ()
    assert healthy.probes.drift is not None
    assert ruined.probes.drift is not None
    assert healthy.probes.drift.mean_kl < ruined.probes.drift.mean_kl


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
