"""Runs on a real Ray cluster of one machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

import ftkit as ft
from ftkit.store import Store
from ftkit.training.job import Job, train
from tests.runs.test_runs import ROWS, SCRIPT, TASK, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

COMMON: dict[str, Any] = {
    "epochs": 2,
    "batch_size": 8,
    "learning_rate": 5e-3,
    "precision": "fp32",
    "adapter": ft.LoRA(rank=4),
}
SFT = ft.SFT(**COMMON)
SAMPLED = {"num_generations": 3, "max_output_tokens": 6, "probe_prompts": 0, "beta": 0.1}
WAIT_S = 900.0


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    """A folder that this process and the nodes share."""
    (tmp_path / "shared").mkdir()
    return tmp_path / "shared"


def cluster(head: str, model: str, storage: Path, workers: int = 2, strategy: str = "ddp") -> ft.Ray:
    return ft.Ray(model, address=head, workers=workers, gpus_per_worker=0, storage=storage, strategy=strategy)


def demonstrations() -> ft.Dataset:
    return ft.Dataset.from_rows(ROWS, TASK, target="a")


def alone(recipe: ft.Recipe, data: ft.Dataset, model: str, output: Path) -> list[dict[str, Any]]:
    """The steps of one worker, without Ray."""
    steps: list[dict[str, Any]] = []
    job = Job(recipe, data, data.take(4), model, output)
    train(job, lambda kind, event: steps.append(event) if kind == "step" else None)
    return steps


def processes(command: str) -> list[psutil.Process]:
    """Processes by a word of their command line."""
    found = []
    for each in psutil.process_iter():
        try:
            if command in " ".join([each.name(), *each.cmdline()]):
                found.append(each)
        except psutil.Error:  # it has ended
            continue
    return found


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_the_number_of_workers_changes_no_loss(
    workers: int, head: str, tiny_model: str, storage: Path, tmp_path: Path
) -> None:
    data = demonstrations()
    backend = cluster(head, tiny_model, storage, workers)
    run = ft.train(SFT, data, backend=backend, validation=data.take(4)).wait(timeout_s=WAIT_S)
    expected = [step["loss"] for step in alone(SFT, data, tiny_model, tmp_path / "alone")]
    assert [step["loss"] for step in run.metrics] == pytest.approx(expected, rel=2e-4)
    assert run.record.summary["workers"] == workers
    assert {"state", "log", "step", "validation"} <= {event.kind for event in run.events()}
    answers = run.model.answer_many([ft.Request(TASK.prompt({"q": "1?"}))], ft.Sampling(max_output_tokens=3))
    assert answers[0].output_tokens
    assert run.download(tmp_path / "fetched").task.fingerprint == data.task.fingerprint


@pytest.mark.parametrize(
    ("kind", "workers"),
    [
        ("dpo", 2),
        ("dpo", 4),
        ("reward", 2),
        ("reward", 4),
        ("rft", 1),
        ("rft", 2),
        ("rft", 4),
        ("full", 2),
        ("qlora", 2),
    ],
)
def test_several_workers_train_every_kind_as_one_does(
    kind: str, workers: int, head: str, tiny_model: str, storage: Path, tmp_path: Path
) -> None:
    pairs = ft.Dataset.from_rows([{**row, "b": "no"} for row in ROWS], TASK, chosen="a", rejected="b")
    grader = ft.TextSimilarityGrader(
        name="near", input="{{sample.output_text}}", reference="{{item.a}}", evaluation_metric="fuzzy_match"
    )
    recipe, data = {
        "dpo": (ft.DPO(**COMMON), pairs),
        "reward": (ft.RewardModel(**COMMON), pairs),
        "rft": (ft.RFT(grader=grader, **COMMON, **SAMPLED), demonstrations()),
        "full": (ft.SFT(**COMMON | {"adapter": ft.Full(), "learning_rate": 1e-3}), demonstrations()),
        "qlora": (ft.SFT(**COMMON | {"adapter": ft.QLoRA(rank=4)}), demonstrations()),
    }[kind]
    backend = cluster(head, tiny_model, storage, workers, "fsdp2" if kind in ("full", "qlora") else "ddp")
    run = ft.train(recipe, data, backend=backend, validation=data.take(4)).wait(timeout_s=WAIT_S)
    expected = alone(recipe, data, tiny_model, tmp_path / "alone")
    assert len(run.metrics) == len(expected) > 3
    for step, one in zip(run.metrics, expected, strict=True):
        for key in ("loss", "reward", "grad_norm", "rewards_margin", "kl"):
            if key in one:
                assert step[key] == pytest.approx(one[key], rel=5e-4, abs=5e-5), (one["step"], key)


def test_a_run_outlives_its_script_its_workers_and_its_job(head: str, tiny_model: str, storage: Path) -> None:
    backend = cluster(head, tiny_model, storage)
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
    until(lambda: len(run.metrics) > 2, WAIT_S)
    processes("RayTrainWorker")[0].kill()
    until(lambda: any("going on from the checkpoint" in str(event.data) for event in run.events()), WAIT_S)
    for each in processes(f"ftkit.backends.ray.job {storage} {run.id}"):
        each.kill()
    until(lambda: run.state == "failed", WAIT_S)
    assert f"`ftkit runs resume {run.id}` goes on from its newest checkpoint" in str(run.record.error)
    done = run.metrics[-1]["step"]
    run.resume()
    until(lambda: run.metrics[-1]["step"] > done, WAIT_S)
    assert run.cancel().state == "cancelled"
    assert run.metrics[-1]["step"] < 120
    run.resume().wait(timeout_s=WAIT_S)
    assert [step["step"] for step in run.metrics] == list(range(1, 121))
    Store().delete(run.id)  # as if another machine had used the id
    with pytest.raises(ft.RunError, match="choose another run_id"):
        ft.train(SFT, demonstrations(), backend=backend, run_id=run.id)
    again = ft.train(SFT, demonstrations(), backend=backend)
    assert again.cancel().state == "cancelled"
    ft.runs.delete(again.id)
    assert not (storage / "runs" / again.id).exists()
