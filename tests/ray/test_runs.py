"""Runs on a real Ray cluster of one machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

import ftkit as ft
from ftkit.training.job import Job, train
from tests.runs.test_runs import ROWS, SCRIPT, TASK, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

RECIPE = ft.SFT(epochs=2, batch_size=8, learning_rate=5e-3, precision="fp32", adapter=ft.LoRA(rank=4))


def workers() -> list[psutil.Process]:
    """The processes of Ray Train's workers."""
    return [each for each in psutil.process_iter() if "RayTrainWorker" in (each.name() + " ".join(each.cmdline()))]


def test_two_workers_take_the_steps_of_one(head: str, tiny_model: str, tmp_path: Path) -> None:
    data = ft.Dataset.from_rows(ROWS, TASK, target="a")
    alone: list[float] = []
    train(
        Job(RECIPE, data, data.take(4), tiny_model, tmp_path / "alone"),
        lambda kind, event: alone.append(event["loss"]) if kind == "step" else None,
    )
    storage = tmp_path / "shared"
    storage.mkdir()
    backend = ft.Ray(tiny_model, address=head, workers=2, gpus_per_worker=0, storage=storage)
    run = ft.train(RECIPE, data, backend=backend, validation=data.take(4)).wait(timeout_s=400)
    assert [step["loss"] for step in run.metrics] == pytest.approx(alone, rel=2e-4)
    assert run.record.summary["workers"] == 2
    assert {"state", "log", "step", "validation"} <= {event.kind for event in run.events()}
    answers = run.model.answer_many([ft.Request(TASK.prompt({"q": "1?"}))], ft.Sampling(max_output_tokens=3))
    assert answers[0].output_tokens
    fetched = run.download(tmp_path / "fetched")
    assert fetched.task.fingerprint == data.task.fingerprint


def test_a_run_outlives_its_script_and_its_workers(head: str, tiny_model: str, tmp_path: Path) -> None:
    storage = tmp_path / "shared"
    storage.mkdir()
    backend = ft.Ray(tiny_model, address=head, workers=2, gpus_per_worker=0, storage=storage)
    script = SCRIPT.replace('backend="local:" + sys.argv[1]', "backend=sys.argv[1]").replace(
        "batch_size=8", "batch_size=8, save_steps=1"
    )
    started = subprocess.Popen(
        [sys.executable, "-c", script, f"ray:{backend.model}", "40"],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ.copy(),
    )
    assert started.stdout is not None
    run = ft.runs.get(started.stdout.readline().strip())
    started.kill()
    started.wait()
    until(lambda: len(run.metrics) > 2, 300)
    workers()[0].kill()
    until(lambda: any("going on from the checkpoint" in str(event.data) for event in run.events()), 300)
    assert run.cancel().state == "cancelled"
    done = run.metrics[-1]["step"]
    assert done < 120
    run.resume().wait(timeout_s=400)
    assert [step["step"] for step in run.metrics] == list(range(1, 121))
    data = ft.Dataset.from_rows(ROWS, TASK, target="a")
    ft.runs.delete(run.id)
    with pytest.raises(ft.RunError, match="choose another run_id"):
        ft.train(RECIPE, data, backend=backend, run_id=run.id)
