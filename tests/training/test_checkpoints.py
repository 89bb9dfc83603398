"""A run that is killed, anywhere and however often, ends as if it had not been."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import ftkit as ft
from ftkit.modeling.load_for_inference import load_for_answers
from ftkit.modeling.model_source import find_source
from ftkit.training import job as training
from ftkit.training.checkpoint import Checkpoint, Checkpoints
from ftkit.training.job import Job, train
from ftkit.training.progress import TrainingStopped
from tests.training.test_training import ADAPTERS, logits_of, recipe, rows

WATCHED = {"epochs": 3, "save_steps": 2, "eval_steps": 2}
ADALORA = {"epochs": 6, "learning_rate": 5e-2, "save_steps": 2, "eval_steps": 3}


class Runner:
    """One job, begun as often as need be, in this process."""

    def __init__(self, model: str, output: Path, chosen: Any) -> None:
        self.job = Job(chosen, rows(), rows(4, first=40), model, output)
        self.events: list[tuple[str, dict[str, Any]]] = []

    def go(self, *, until: Callable[[str, dict[str, Any]], bool] = lambda kind, data: False) -> dict[str, Any]:
        """Train; ``until`` says at which event the process dies on the spot."""

        def emit(kind: str, data: dict[str, Any]) -> None:
            self.events.append((kind, data))
            if until(kind, data):
                raise KeyboardInterrupt  # caught nowhere: whatever was not on disk is lost

        return train(self.job, emit)

    @property
    def weights(self) -> bytes:
        return (self.job.output / "adapter_model.safetensors").read_bytes()

    def messages(self, kind: str) -> list[str]:
        return [data["message"] for found, data in self.events if found == kind and "message" in data]


@pytest.fixture
def runner(tiny_model: str, tmp_path: Path) -> Callable[..., Runner]:
    number = iter(range(100))
    return lambda chosen: Runner(tiny_model, tmp_path / f"model-{next(number)}", chosen)


@pytest.mark.parametrize(
    ("adapter", "changes"),
    [
        (ft.LoRA(rank=4, lora_dropout=0.2), WATCHED),
        pytest.param(ADAPTERS["qlora"], WATCHED, marks=pytest.mark.slow),
        pytest.param(ADAPTERS["dora"], WATCHED, marks=pytest.mark.slow),
        pytest.param(ADAPTERS["adalora"], ADALORA, marks=pytest.mark.slow),
    ],
    ids=["lora", "qlora", "dora", "adalora"],
)
def test_a_run_that_dies_again_and_again_ends_bit_by_bit_as_one_that_did_not(runner, adapter, changes):
    chosen = recipe(adapter, **changes)
    whole, broken = runner(chosen), runner(chosen)
    expected = whole.go()
    for step in (1, 4, 5, 5, 8):
        with pytest.raises(KeyboardInterrupt):
            broken.go(until=lambda kind, data, step=step: kind == "step" and data["step"] == step)
    found = broken.go()
    assert broken.weights == whole.weights
    timeless = {"training_seconds", "peak_memory_bytes"}
    assert {k: v for k, v in found.items() if k not in timeless} == {
        k: v for k, v in expected.items() if k not in timeless
    }
    resumed = [int(text.rpartition(" ")[2]) for text in broken.messages("log") if text.startswith("going on")]
    assert resumed == [2, 4, 4, 6] or resumed[-1] >= 6
    assert not broken.job.checkpoints.exists()


@pytest.mark.slow
def test_a_full_model_goes_on_where_it_was(runner):
    chosen = recipe(ADAPTERS["full"], epochs=2, save_steps=1)
    whole, broken = runner(chosen), runner(chosen)
    whole.go()
    with pytest.raises(KeyboardInterrupt):
        broken.go(until=lambda kind, data: kind == "step" and data["step"] == 4)
    broken.go()
    read = [(one.job.output / "model.safetensors").read_bytes() for one in (whole, broken)]
    assert read[0] == read[1]


def test_the_model_is_on_the_disk_before_the_checkpoints_go(runner, monkeypatch):
    flushed: list[int] = []
    real_sync, real_clear = os.fsync, Checkpoints.clear
    monkeypatch.setattr(os, "fsync", lambda handle: (flushed.append(os.fstat(handle).st_ino), real_sync(handle)))
    made = runner(recipe(epochs=1, save_steps=1))
    seen: list[Path] = []

    def clear(checkpoints: Checkpoints) -> None:
        seen.extend([made.job.output.parent, made.job.output, *made.job.output.iterdir()])
        assert {path.stat().st_ino for path in seen} <= set(flushed)
        assert flushed[-1] == made.job.output.parent.stat().st_ino  # the name of the model, after all else
        real_clear(checkpoints)

    monkeypatch.setattr(Checkpoints, "clear", clear)
    left = made.job.output.with_name(f".{made.job.output.name}.left.unfinished")
    left.mkdir()
    made.go()
    assert made.job.output / "adapter_model.safetensors" in seen
    assert not left.exists()
    assert not made.job.checkpoints.exists()


def test_asked_to_stop_it_saves_the_step_it_was_at(tiny_model, tmp_path, runner):
    chosen = recipe(epochs=2, save_steps=100)
    whole = runner(chosen)
    whole.go()
    job = Job(chosen, rows(), rows(4, first=40), tiny_model, tmp_path / "stopped")
    seen: list[tuple[str, dict[str, Any]]] = []

    def figures(events: list[tuple[str, dict[str, Any]]]) -> list[tuple[float, ...]]:
        return [(data["step"], data["loss"], data["token_accuracy"]) for kind, data in events if kind == "step"]

    with pytest.raises(TrainingStopped) as stopped:
        train(job, lambda *event: seen.append(event), should_stop=lambda: len(figures(seen)) == 3)
    assert stopped.value.args == (3,)
    train(job, lambda *event: seen.append(event))
    assert figures(seen) == figures(whole.events)
    assert (job.output / "adapter_model.safetensors").read_bytes() == whole.weights


@pytest.mark.parametrize(
    "damage", ["flip", *(pytest.param(other, marks=pytest.mark.slow) for other in ("marker", "cut", "empty"))]
)
def test_a_half_written_checkpoint_is_passed_over(runner, damage):
    chosen = recipe(**WATCHED)
    whole, broken = runner(chosen), runner(chosen)
    whole.go()
    with pytest.raises(KeyboardInterrupt):
        broken.go(until=lambda kind, data: kind == "step" and data["step"] == 5)
    newest = broken.job.checkpoints / "step-000004"
    tensors = newest / "trainable.safetensors"
    if damage == "marker":
        (newest / "COMPLETE").unlink()
    elif damage == "cut":
        tensors.write_bytes(tensors.read_bytes()[:-7])
    elif damage == "flip":
        content = bytearray(tensors.read_bytes())
        content[-3] ^= 1
        tensors.write_bytes(content)
    else:
        for file in newest.iterdir():
            file.unlink()
    (broken.job.checkpoints / ".aside-left").mkdir()  # as a kill in the middle of writing leaves it
    broken.go()
    assert any("step-000004" in text for text in broken.messages("warning"))
    assert "going on from the checkpoint of step 2" in broken.messages("log")
    assert broken.weights == whole.weights


def test_a_checkpoint_that_version_0_1_wrote_is_resumed_to_the_same_bits(runner, monkeypatch):
    chosen = recipe(**WATCHED)
    whole, broken = runner(chosen), runner(chosen)
    whole.go()
    with pytest.raises(KeyboardInterrupt):
        broken.go(until=lambda kind, data: kind == "step" and data["step"] == 5)
    present = Checkpoint.state

    def old(self: Checkpoint) -> dict[str, Any]:
        state = present(self)
        progress = state["progress"]
        progress["idle"] = progress.pop("evaluations_without_improvement")
        return state | {"health": state.pop("monitor"), "watch": {}, "rollouts": state.pop("source")}

    monkeypatch.setattr(Checkpoint, "state", old)
    broken.go()
    assert "going on from the checkpoint of step 4" in broken.messages("log")
    assert broken.weights == whole.weights


def test_checkpoints_of_another_job_are_not_taken(runner):
    first = runner(recipe(**WATCHED))
    with pytest.raises(KeyboardInterrupt):
        first.go(until=lambda kind, data: kind == "step" and data["step"] == 5)
    other = Runner(first.job.model, first.job.output, recipe(**WATCHED, weight_decay=0.1))
    other.go()
    assert any("it belongs to another recipe, model or data" in text for text in other.messages("warning"))
    assert next(data["step"] for kind, data in other.events if kind == "step") == 1


def test_only_the_newest_are_kept(tmp_path):
    kept = Checkpoints(tmp_path / "c", "job", limit=2)
    for step in (1, 2, 3, 10):
        kept.save(step, {"w": torch.full((3,), float(step))}, {"progress": step})
        kept.save_best(step, {"w": torch.full((3,), float(step))})
    assert sorted(one.name for one in (tmp_path / "c").iterdir()) == ["best-000010", "step-000003", "step-000010"]
    newest, passed = kept.newest()
    assert newest is not None
    assert (newest.step, passed) == (10, [])
    assert newest.tensors()["w"].tolist() == [10.0] * 3
    assert newest.state() == {"progress": 10}
    assert kept.best(3) is None


FULL_DISK = """
import json, resource, signal, sys
from ftkit.modeling.load_for_inference import load_for_answers
from ftkit.modeling.model_source import find_source
from ftkit.training.job import Job, train
from tests.training.test_training import recipe, rows
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
model, output, limit = sys.argv[1], sys.argv[2], int(sys.argv[3])
from pathlib import Path
events = []
data = rows()
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
def emit(kind, data):
    events.append([kind, data.get("message", "")])
    if kind == "step" and data["step"] == 4:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
train(Job(recipe(epochs=2, save_steps=2), data, None, model, Path(output)), emit)
print(json.dumps(events))
"""


def test_a_full_disk_costs_a_checkpoint_and_not_the_run(tiny_model, tmp_path):
    output = tmp_path / "model"
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, tiny_model, str(output), "20000"],
        capture_output=True, text=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    events = json.loads(done.stdout.splitlines()[-1])
    assert any(kind == "warning" and "a checkpoint could not be written" in text for kind, text in events)
    assert sum(kind == "checkpoint" for kind, _ in events) == 1
    assert (output / "adapter_model.safetensors").is_file()


def test_the_result_is_the_model_of_the_lowest_validation_loss(runner):
    # Far too high a rate at a constant height: the validation loss falls, then rises.
    chosen = recipe(epochs=10, learning_rate=5e-2, lr_scheduler_type="constant", eval_steps=1, save_steps=4)
    best, last = runner(chosen), runner(chosen.model_copy(update={"load_best_model_at_end": False}))
    summary = best.go()
    looks = {data["step"]: data["loss"] for kind, data in best.events if kind == "validation" and data["step"]}
    lowest = min(looks, key=lambda step: looks[step])
    assert lowest < max(looks)
    assert (summary["best_step"], summary["validation_loss"]) == (lowest, looks[lowest])
    assert "best_step" not in last.go()
    again = runner(recipe(epochs=1, learning_rate=2e-5, eval_steps=1))
    again.job = Job(again.job.recipe, rows(), rows(4, first=40), str(best.job.output), again.job.output)
    assert again.go()["validation_loss_before"] == pytest.approx(looks[lowest], rel=1e-3)


def test_the_best_adalora_is_saved_with_the_ranks_it_had(runner, monkeypatch):
    kept: list[torch.Tensor] = []
    save = training.save_artefact

    def look_and_save(folder: Path, pretrained: Any, adapted: Any, *rest: Any) -> None:
        kept.append(logits_of(adapted.base_model))
        save(folder, pretrained, adapted, *rest)

    monkeypatch.setattr(training, "save_artefact", look_and_save)
    chosen = recipe(
        ADAPTERS["adalora"], epochs=10, learning_rate=0.3, lr_scheduler_type="constant", eval_steps=1, warmup_ratio=0
    )
    done = runner(chosen)
    summary = done.go()
    total = summary["steps"]
    assert summary["best_step"] < total - 3 * total // 10  # before the ranks were final
    served = load_for_answers(find_source(str(done.job.output)), precision="fp32", device=torch.device("cpu"))
    torch.testing.assert_close(logits_of(served.model), kept[0], rtol=1e-3, atol=1e-3)


def test_a_run_ends_early_when_the_validation_loss_no_longer_falls(runner):
    chosen = recipe(
        epochs=20, learning_rate=5e-2, lr_scheduler_type="constant", eval_steps=1, early_stopping_patience=3
    )
    stopped = runner(chosen)
    summary = stopped.go()
    assert summary["stopped_early"]
    assert summary["steps"] == summary["best_step"] + 3 < 60
    assert any("stopping early" in text for text in stopped.messages("log"))


def test_patience_without_anything_to_look_at_is_refused(tiny_model, tmp_path):
    with pytest.raises(ft.RefusedError, match="needs validation rows") as caught:
        train(Job(recipe(early_stopping_patience=2), rows(), None, tiny_model, tmp_path / "m"), lambda kind, data: None)
    assert caught.value.fields == ("early_stopping_patience",)
