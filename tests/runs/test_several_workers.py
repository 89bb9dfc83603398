"""Several processes that train one model together, and what happens when one of them dies."""

from __future__ import annotations

import psutil
import pytest

import ftkit as ft
from ftkit.backends.local import LocalBackend
from tests.runs.test_runs import ROWS, TASK, until

RECIPE = ft.SFT(epochs=2, batch_size=8, learning_rate=5e-3, precision="fp32", adapter=ft.LoRA(rank=4))


def fellows(run: ft.Run) -> list[psutil.Process]:
    """The other workers of a run."""
    return [each for each in psutil.Process(run.record.handle["pid"]).children() if run.id in each.cmdline()]


def test_workers_must_be_a_number_above_zero() -> None:
    with pytest.raises(ft.ConfigError, match="workers=0"):
        LocalBackend("smollm2-135m", workers=0)
    with pytest.raises(ft.ConfigError, match="workers"):
        LocalBackend("smollm2-135m", workers="2")  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp2"])
def test_two_processes_take_the_steps_of_one(strategy: str, tiny_model: str) -> None:
    data = ft.Dataset.from_rows(ROWS, TASK, target="a")
    full = {"adapter": ft.Full(), "learning_rate": 1e-3}
    recipe = RECIPE.model_copy(update=full) if strategy == "fsdp2" else RECIPE
    alone = ft.train(recipe, data, backend=f"local:{tiny_model}", validation=data.take(4)).wait(timeout_s=250)
    backend = LocalBackend(tiny_model, workers=2, strategy=strategy)
    together = ft.train(recipe, data, backend=backend, validation=data.take(4))
    together.wait(timeout_s=250)
    losses = [[step["loss"] for step in run.metrics] for run in (alone, together)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    (started,) = [event.data for event in together.events() if event.data.get("message") == "training"]
    assert (started["workers"], started["strategy"]) == (2, strategy)
    assert not list(together.folder.glob("meeting-*"))


@pytest.mark.slow
def test_a_worker_that_dies_ends_the_run_which_resumes(tiny_model: str) -> None:
    data = ft.Dataset.from_rows(ROWS, TASK, target="a")
    recipe = RECIPE.model_copy(update={"epochs": 40, "save_steps": 1})
    run = ft.train(recipe, data, backend=LocalBackend(tiny_model, workers=2))
    until(lambda: len(run.metrics) > 2, 300)
    (other,) = fellows(run)
    other.kill()
    until(lambda: run.state != "running", 300)
    assert run.state == "failed"
    assert "worker 2 of 2 has died (status -9)" in str(run.record.error)
    run.resume()
    until(lambda: len(run.metrics) > 10 and run.state == "running", 300)
    (other,) = fellows(run)
    run.cancel()
    assert run.state == "cancelled"
    until(lambda: not other.is_running() or other.status() == psutil.STATUS_ZOMBIE, 30)
    run.resume().wait(timeout_s=250)
    assert [step["step"] for step in run.metrics] == list(range(1, 121))
